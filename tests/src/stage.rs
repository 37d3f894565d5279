//! What one test or one demo leaves on the host, and its removal: reads nothing, produces names and directories that
//! belong to this process and are swept when it is gone.
//!
//! Everything is named `observer-stage-PID-START` after the process that made it. `Drop` removes it, also while a panic
//! unwinds; what a killed process left is removed by the next one that starts, which sees that its maker is dead.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{cgroup, places};

const PREFIX: &str = "observer-stage-";

/// The name under which everything of this process stands.
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        sweep();
        let pid = std::process::id();
        format!("{PREFIX}{pid}-{}", start_of(pid).unwrap_or(0))
    })
}

/// Start of a process in clock ticks since boot (`/proc/PID/stat`, field 22); `None` where there is no such process.
pub fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses: fields are counted from its end.
    let after = stat.rsplit_once(')')?.1;
    after.split_whitespace().nth(19)?.parse().ok()
}

/// A number that no other part of this process has.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A directory of this process's own, removed with it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh, empty one.
    pub fn new(what: &str) -> Result<Self> {
        let path = root().join(format!("{what}-{}", number()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, which need not exist.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next process.
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_dir(root());
    }
}

fn root() -> PathBuf {
    std::env::temp_dir().join(name())
}

/// Directory where runc keeps the state of this process's containers.
pub fn runc_root() -> PathBuf {
    root().join("runc")
}

/// Removes what processes that are no more have left: containers, cgroups with what runs in them, directories.
pub fn sweep() {
    if let Some((controller, _)) = places::memory_controller() {
        for path in orphans(&controller) {
            // Nobody is left to tell, and the next sweep tries again.
            let _ = cgroup::clear(&path, Duration::from_secs(5));
        }
    }
    for path in orphans(&std::env::temp_dir()) {
        delete_containers(&path.join("runc"));
        let _ = fs::remove_dir_all(&path);
    }
}

/// Directories below `parent` whose name says that their maker is dead.
fn orphans(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(orphaned))
        .map(|entry| entry.path())
        .collect()
}

fn orphaned(name: &str) -> bool {
    let Some((pid, start)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    match (pid.parse(), start.parse::<u64>()) {
        (Ok(pid), Ok(start)) => start_of(pid) != Some(start),
        _ => false,
    }
}

fn delete_containers(runc_root: &Path) {
    let containers = fs::read_dir(runc_root).into_iter().flatten().flatten();
    for container in containers {
        // The same: what fails here is left for the next sweep.
        let _: io::Result<_> = Command::new("runc")
            .arg("--root")
            .arg(runc_root)
            .args(["delete", "--force"])
            .arg(container.file_name())
            .output();
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, orphaned, start_of};

    #[test]
    fn only_the_dead_leave_orphans() {
        let me = std::process::id();
        let start = start_of(me).unwrap();
        assert!(!orphaned(&format!("{PREFIX}{me}-{start}")));
        assert!(
            orphaned(&format!("{PREFIX}{me}-{}", start + 1)),
            "its pid was given to another"
        );
        assert!(orphaned(&format!("{PREFIX}4194304-1")), "above pid_max");
        assert!(!orphaned("somebody-elses-1-1"));
        assert!(!orphaned(&format!("{PREFIX}x-y")));
    }
}
