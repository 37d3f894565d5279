//! Reads the limits of cgroups and their ancestors, produces the lowest and where it is set. Limits change in place
//! (a pod resized, `systemctl set-property`), so each sweep reads them again: once per cgroup, however many share it.

use std::collections::BTreeMap;

use observer_core::sample::Limit;

use super::{Hierarchy, files};
use crate::source::kept::{Budget, KeptFile};

/// Limit files kept open, shared by all cgroups below them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    open: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// `None` where the cgroup has no such file: a v2 root.
    file: Option<KeptFile>,
    /// Read in this sweep.
    fresh: bool,
    limit: Option<u64>,
}

impl Limits {
    /// The lowest limit of a cgroup and its ancestors; of two equal ones, the cgroup's own or nearest.
    pub(crate) fn lowest(&mut self, hierarchy: &Hierarchy, budget: &Budget, path: &str) -> Option<Limit> {
        let mut lowest: Option<Limit> = None;
        for cgroup in ancestry(path) {
            if let Some(bytes) = self.limit(hierarchy, budget, cgroup)
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

    fn limit(&mut self, hierarchy: &Hierarchy, budget: &Budget, cgroup: &str) -> Option<u64> {
        let entry = self.open.entry(cgroup.to_owned()).or_insert_with(|| {
            let name = if hierarchy.version() == 1 {
                "memory.limit_in_bytes"
            } else {
                "memory.max"
            };
            let file = hierarchy
                .directory(cgroup)
                .and_then(|dir| KeptFile::open(dir.join(name), budget).ok());
            Entry {
                file,
                fresh: false,
                limit: None,
            }
        });
        if !entry.fresh {
            let mut text = Vec::new();
            let read = entry.file.as_ref().and_then(|file| file.read(&mut text).ok());
            entry.limit = read.and_then(|()| files::limit(&text));
            entry.fresh = true;
        }
        entry.limit
    }

    /// Ends a sweep: what it did not use is closed, the rest is read anew in the next.
    pub(crate) fn end_sweep(&mut self) {
        self.open.retain(|_, entry| std::mem::take(&mut entry.fresh));
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
