//! Reads the limits of cgroups and their ancestors, produces the lowest and where it is set. Limits change in place
//! (a pod resized, `systemctl set-property`), so each sweep reads them again: once per cgroup, however many share it.

use std::{collections::BTreeMap, fs::File};

use observer_core::sample::Limit;

use super::{Hierarchy, files};
use crate::source::open_files;

/// Limits read in this sweep, shared by all cgroups below them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    read: BTreeMap<String, Option<u64>>,
    text: Vec<u8>,
}

impl Limits {
    /// The lowest limit of a cgroup, whose `own` is known, and its ancestors; of two equal ones, the nearest.
    pub(crate) fn lowest(&mut self, hierarchy: &Hierarchy, path: &str, own: Option<u64>) -> Option<Limit> {
        let mut lowest = own.map(|bytes| Limit {
            bytes,
            cgroup: path.to_owned(),
        });
        for cgroup in ancestry(path).skip(1) {
            if let Some(bytes) = self.limit(hierarchy, cgroup)
                && lowest.as_ref().is_none_or(|limit| bytes < limit.bytes)
            {
                lowest = Some(Limit {
                    bytes,
                    cgroup: cgroup.to_owned(),
                });
            }
        }
        lowest
    }

    /// `None` where the cgroup has no such file (a v2 root) or no limit.
    fn limit(&mut self, hierarchy: &Hierarchy, cgroup: &str) -> Option<u64> {
        if let Some(limit) = self.read.get(cgroup) {
            return *limit;
        }
        let name = if hierarchy.version() == 1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        let file = hierarchy
            .directory(cgroup)
            .and_then(|directory| File::open(directory.join(name)).ok());
        let limit = file
            .and_then(|file| open_files::read(&file, &mut self.text).ok())
            .and_then(|()| files::limit(&self.text));
        self.read.insert(cgroup.to_owned(), limit);
        limit
    }

    /// Ends a sweep: all is read anew in the next.
    pub(crate) fn end_sweep(&mut self) {
        self.read.clear();
    }
}

/// A cgroup and its ancestors, itself first and the root last.
pub(crate) fn ancestry(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path.trim_end_matches('/')).map(|path| if path.is_empty() { "/" } else { path });
    std::iter::from_fn(move || {
        let here = next?;
        next = match here.rfind('/') {
            _ if here == "/" => None,
            Some(0) => Some("/"),
            Some(at) => Some(&here[..at]),
            None => None,
        };
        Some(here)
    })
}
