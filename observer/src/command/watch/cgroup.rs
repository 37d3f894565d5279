//! A cgroup of the command's own, where this process may make one: reads what all of the command holds, and produces every
//! process of it, also one whose parent has gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::Serialize;

use crate::source::{
    Cgroups, Level,
    cgroup::{CgroupReader, Hierarchy, memory_cgroup},
};

/// Attempts to remove it, and the time between two: a process that has ended leaves it a moment later.
const ATTEMPTS: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(20);

/// What all of a command held, bytes: anonymous, swapped and shared memory, files of a tmpfs, and the kernel's that it
/// does not take back. No page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// When it was looked at last.
    pub(super) last_bytes: u64,
    /// At most.
    pub(super) highest_bytes: u64,
}

pub(super) struct OwnCgroup {
    directory: PathBuf,
    /// Where this process came from.
    home: PathBuf,
    cgroups: Cgroups,
    reader: CgroupReader,
    memory: Option<Memory>,
}

impl OwnCgroup {
    /// Makes one below this process's own cgroup, or, where v2 allows none with memory accounting there, beside it. `None` where it
    /// may not.
    pub(super) fn make() -> Option<Self> {
        let hierarchy = Hierarchy::discover(Path::new("/proc"), None).ok()?;
        let own = memory_cgroup(&fs::read("/proc/self/cgroup").ok()?)?;
        let own = hierarchy.canonical(&own);
        let parent = match hierarchy.version() {
            1 => own.as_str(),
            _ => ancestry(&own).find(|path| delegates_memory(&hierarchy, path))?,
        };
        let path = format!("{}/observer-watch-{}", parent.trim_end_matches('/'), std::process::id());
        let directory = hierarchy.directory(&path)?;
        let home = hierarchy.directory(&own)?;
        fs::create_dir(&directory).ok()?;
        let cgroups = Cgroups::new(hierarchy.into());
        let reader = cgroups.open(&path);
        let own = Self {
            directory,
            home,
            cgroups,
            reader,
            memory: None,
        };
        // To make one is another right than to go there.
        own.inside(|| ()).ok()?;
        Some(own)
    }

    /// Starts something inside: whatever it starts is there from its first instant.
    ///
    /// # Errors
    ///
    /// When this process may not go there, or not back.
    pub(super) fn inside<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        enter(&self.directory)?;
        let started = start();
        enter(&self.home)?;
        Ok(started)
    }

    /// The processes in it.
    pub(super) fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Looks at what it holds.
    pub(super) fn look(&mut self) {
        let Level::Read(level) = self.cgroups.read(&mut self.reader) else {
            return;
        };
        let bytes = level.trend();
        self.memory = Some(Memory {
            last_bytes: bytes,
            highest_bytes: self.memory.map_or(bytes, |memory| memory.highest_bytes.max(bytes)),
        });
    }

    /// What it held.
    pub(super) const fn memory(&self) -> Option<Memory> {
        self.memory
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        for _ in 0..ATTEMPTS {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                    thread::sleep(BETWEEN);
                }
                _ => return,
            }
        }
    }
}

fn enter(directory: &Path) -> io::Result<()> {
    fs::write(directory.join("cgroup.procs"), std::process::id().to_string())
}

/// The cgroups above one, the nearest first.
fn ancestry(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/').map(|(above, _)| above), |path| {
        path.rsplit_once('/').map(|(above, _)| above)
    })
}

/// Whether cgroups below this one have memory accounting.
fn delegates_memory(hierarchy: &Hierarchy, path: &str) -> bool {
    let controllers = hierarchy
        .directory(path)
        .and_then(|directory| fs::read_to_string(directory.join("cgroup.subtree_control")).ok());
    controllers.is_some_and(|text| text.split_ascii_whitespace().any(|name| name == "memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_cgroup_is_looked_at_upwards() {
        assert_eq!(ancestry("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", ""]);
        assert_eq!(ancestry("/").collect::<Vec<_>>(), [""]);
        assert_eq!(ancestry("").count(), 0);
    }
}
