//! Memory cgroups made by hand, v1 or v2: reads a limit, produces a cgroup to run commands in, emptied and removed on
//! drop.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};

use crate::{places, stage};

/// Longest time for a killed process to leave its cgroup.
const EMPTYING: Duration = Duration::from_secs(20);

/// A memory cgroup of this process's own.
#[derive(Debug)]
pub struct Memcg {
    directory: PathBuf,
    path: String,
}

impl Memcg {
    /// Below the cgroup of this process's stage, limited to `limit` bytes where given.
    pub fn new(name: &str, limit: Option<u64>) -> Result<Self> {
        let path = format!("/{}/{name}-{}", stage::name(), stage::number());
        Self::at(&path, limit)
    }

    /// At this very path below the cgroup of this process's stage: `system.slice/api.service`.
    pub fn exactly(path: &str, limit: Option<u64>) -> Result<Self> {
        Self::at(&format!("/{}/{path}", stage::name()), limit)
    }

    /// A child of this one.
    pub fn child(&self, name: &str, limit: Option<u64>) -> Result<Self> {
        Self::at(&format!("{}/{name}", self.path), limit)
    }

    fn at(path: &str, limit: Option<u64>) -> Result<Self> {
        let (controller, version) = places::memory_controller().context("no memory controller is mounted")?;
        let directory = controller.join(&path[1..]);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make cgroup {}", directory.display()))?;
        if version == 2 {
            delegate(&controller, path)?;
        }
        let made = Self {
            directory,
            path: path.to_owned(),
        };
        if let Some(bytes) = limit {
            made.limit(bytes)?;
        }
        Ok(made)
    }

    /// Sets the limit.
    pub fn limit(&self, bytes: u64) -> Result<()> {
        let v1 = self.directory.join("memory.limit_in_bytes");
        let file = if v1.exists() {
            v1
        } else {
            self.directory.join("memory.max")
        };
        fs::write(&file, bytes.to_string()).with_context(|| format!("cannot limit memory in {}", file.display()))
    }

    /// Its path in the memory hierarchy.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Moves a running process here.
    pub fn enter(&self, pid: u32) -> Result<()> {
        let file = self.directory.join("cgroup.procs");
        fs::write(&file, pid.to_string()).with_context(|| format!("cannot move {pid} by {}", file.display()))
    }

    /// A command that enters this cgroup and then becomes `program`: the shell replaces itself.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        let enter = format!(
            "echo 0 >'{}/cgroup.procs' && exec \"$0\" \"$@\"",
            self.directory.display()
        );
        command.args(["-c", &enter]).arg(program);
        command
    }
}

impl Drop for Memcg {
    fn drop(&mut self) {
        // A cgroup that does not get empty is left to the next sweep.
        let _ = clear(&self.directory, EMPTYING);
        // Those above it, up to the stage's own, once their last child has gone.
        let depth = self.path.trim_matches('/').split('/').count();
        for parent in self.directory.ancestors().skip(1).take(depth.saturating_sub(1)) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
    }
}

/// On v2 a child has a memory controller only if every ancestor hands it down.
fn delegate(controller: &Path, path: &str) -> Result<()> {
    let mut directory = controller.to_path_buf();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    for part in &parts {
        let file = directory.join("cgroup.subtree_control");
        fs::write(&file, "+memory")
            .with_context(|| format!("cannot hand the memory controller down in {}", file.display()))?;
        directory.push(part);
    }
    Ok(())
}

/// Kills everything in a cgroup and below, waits until it is empty and removes it.
pub fn clear(directory: &Path, within: Duration) -> io::Result<()> {
    let children = fs::read_dir(directory)?.flatten().filter(|entry| entry.path().is_dir());
    for child in children {
        clear(&child.path(), within)?;
    }
    let deadline = Instant::now() + within;
    loop {
        for pid in fs::read_to_string(directory.join("cgroup.procs"))?.lines() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                // It may have died by itself since it was listed.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        match fs::remove_dir(directory) {
            // A zombie, or pages on their way out, keep it busy for a moment and announce nothing when they go.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}
