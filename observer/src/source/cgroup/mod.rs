//! Reads the cgroup file systems (v1, v2, both at once), produces [`CgroupLevel`](observer_core::sample::CgroupLevel)s and kill counters.

mod account;
mod files;
mod hierarchy;
mod limited;
mod limits;
mod membership;
mod reader;

#[cfg(test)]
mod tests;

use std::{fs::File, sync::Arc};

use self::limits::{Limits, ancestry};
pub use self::{
    hierarchy::{Hierarchy, HierarchyError},
    reader::{CgroupReader, Level},
};
use super::open_files::{self, Budget};
pub(crate) use account::{Account, read as account};
pub(crate) use membership::memory_cgroup;

/// The cgroups of a host.
#[derive(Debug)]
pub struct Cgroups {
    hierarchy: Arc<Hierarchy>,
    limits: Limits,
    budget: Budget,
    /// What was read last, for all readers.
    text: Vec<u8>,
}

impl Cgroups {
    /// Over a hierarchy. Raises this process's limit of open files to its hard limit, since files are kept open.
    pub fn new(hierarchy: Arc<Hierarchy>) -> Self {
        Self {
            hierarchy,
            limits: Limits::default(),
            budget: Budget::raised(),
            text: Vec::new(),
        }
    }

    /// The hierarchy.
    pub const fn hierarchy(&self) -> &Arc<Hierarchy> {
        &self.hierarchy
    }

    /// How many more descriptors may be kept.
    pub(super) const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Opens a cgroup for repeated reading, by its canonical path.
    pub fn open(&self, path: &str) -> CgroupReader {
        CgroupReader::open(&self.hierarchy, &self.budget, path)
    }

    /// Reads a level.
    pub fn read(&mut self, reader: &mut CgroupReader) -> Level {
        reader.read(&self.hierarchy, &mut self.limits, &mut self.text)
    }

    /// Ends a sweep over the watched cgroups: limits are read anew in the next.
    pub fn end_sweep(&mut self) {
        self.limits.end_sweep();
    }

    /// Cumulative numbers of processes killed for memory, by cgroup: that of `path` and those of its ancestors that
    /// still exist, itself first.
    ///
    /// On v2 a cgroup's number includes its descendants', so a pod's keeps what its dead containers' had. **On v1 a
    /// kill is counted at the victim's own cgroup only**, and is lost with it.
    pub fn oom_kills(&self, path: &str) -> Vec<(String, u64)> {
        let name = if self.hierarchy.version() == 1 {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        let mut text = Vec::new();
        ancestry(path)
            .filter_map(|cgroup| {
                let file = File::open(self.hierarchy.directory(cgroup)?.join(name)).ok()?;
                open_files::read(&file, &mut text).ok()?;
                Some((cgroup.to_owned(), files::value(&text, b"oom_kill")?))
            })
            .collect()
    }
}
