//! Reads procfs, produces [`ProcessFacts`]: who a process is, read before it dies.
//!
//! All reads of one process go through one descriptor of its `/proc/PID`, which a later process of the same pid can not
//! take over, between two readings of its start time: a process that ends in between gives [`ProcError::Gone`].
//! The observed process is never touched: nothing is written, attached or paused.

mod args;
mod dir;
mod environ;
mod error;
mod executable;
mod otel_context;
mod package;
pub(crate) mod stat;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use observer_core::process::{HeapFlags, Package, ProcessFacts, ProcessKey, PublishedResource, Runtime};

pub use self::error::ProcError;
use self::{dir::ProcessDir, executable::Executables};
use crate::source::{
    cgroup::{Hierarchy, memory_cgroup},
    memory::LiveMemory,
    rooted::Rooted,
};

/// A mounted procfs. Shared between threads.
#[derive(Debug)]
pub struct Procfs {
    root: PathBuf,
    hierarchy: Arc<Hierarchy>,
    /// The agent's own cgroup.
    own_cgroup: String,
    /// The agent's own pid here, where it is to be watched as services are.
    watched_self: Option<u32>,
    executables: Executables,
    unreadable: AtomicU64,
}

impl Procfs {
    /// The procfs at `root` (`/proc`; the host's, where the agent is in a container without hostPID).
    pub fn new(root: impl Into<PathBuf>, hierarchy: Arc<Hierarchy>) -> Self {
        let root = root.into();
        let own_cgroup = std::fs::read(root.join("self/cgroup"))
            .ok()
            .and_then(|text| memory_cgroup(&text))
            .map_or_else(String::new, |path| hierarchy.canonical(&path));
        Self {
            root,
            hierarchy,
            own_cgroup,
            watched_self: None,
            executables: Executables::default(),
            unreadable: AtomicU64::new(0),
        }
    }

    /// With the agent itself among what is watched.
    #[must_use]
    pub fn watching_itself(self) -> Self {
        let own = std::fs::read_link(self.root.join("self")).ok();
        Self {
            watched_self: own.and_then(|pid| pid.to_str()?.parse().ok()),
            ..self
        }
    }

    /// Executables that could not be read so far, and were judged by their names: SYS_PTRACE is missing.
    pub fn unreadable_executables(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Reads a process's facts. With `key.start` 0, those of whatever process has the pid now.
    ///
    /// Of a process that is not watched only what a registry of parents needs is read; never its arguments or
    /// environment.
    pub fn inspect(&self, key: ProcessKey) -> Result<ProcessFacts, ProcError> {
        let process = self.open(key)?;
        let before = process.stat()?;
        let cgroup = memory_cgroup(&process.read("cgroup")?).unwrap_or_default();
        let executable::Classification { runtime, unreadable } = if self.watched_self == Some(key.pid) {
            executable::Classification::AGENT
        } else {
            self.executables.classify(&process)
        };
        if unreadable {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        let cgroup = self.hierarchy.canonical(&cgroup);
        let ns_pids = stat::ns_pids(&process.read("status")?);
        let mut facts = ProcessFacts {
            key: ProcessKey {
                pid: key.pid,
                start: before.start,
            },
            parent: ProcessKey {
                pid: before.ppid,
                start: self.start_of(before.ppid),
            },
            runtime,
            comm: before.comm,
            exe: process.link("exe").unwrap_or_default(),
            script: None,
            cwd: None,
            heap_flags: HeapFlags::default(),
            otel: std::collections::BTreeMap::new(),
            published: std::collections::BTreeMap::new(),
            package: None,
            limit_cgroup: self.hierarchy.limit_cgroup(&cgroup, &self.own_cgroup),
            cgroup,
            ns_pid: ns_pids.last().copied().unwrap_or(key.pid),
            containerised: ns_pids.len() > 1,
        };
        if facts.is_watched() {
            describe(&process, &mut facts)?;
        }
        process.stat()?;
        Ok(facts)
    }

    /// What may have changed of a process since it was inspected: the Resource that its SDK publishes in its memory, none where
    /// it publishes none or its memory may not be read; and its cgroup.
    pub fn published_resource(&self, key: ProcessKey) -> Result<PublishedResource, ProcError> {
        let process = self.open(key)?;
        let cgroup = memory_cgroup(&process.read("cgroup")?).unwrap_or_default();
        let cgroup = self.hierarchy.canonical(&cgroup);
        let maps = process.read("maps").unwrap_or_default();
        let memory = LiveMemory::open(key.pid).ok();
        let attributes = memory.and_then(|memory| otel_context::read(&maps, &memory));
        // Another process may have got its pid meanwhile.
        process.stat()?;
        Ok(PublishedResource {
            process: key,
            attributes: attributes.unwrap_or_default(),
            limit_cgroup: self.hierarchy.limit_cgroup(&cgroup, &self.own_cgroup),
            cgroup,
        })
    }

    /// Inspects every process that runs now, kernel threads left out; one that ends meanwhile is left out as well.
    pub fn scan(&self) -> Result<impl Iterator<Item = Result<ProcessFacts, ProcError>>, ProcError> {
        let entries = std::fs::read_dir(&self.root).map_err(|source| ProcError::Root {
            root: self.root.display().to_string(),
            source,
        })?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        Ok(pids
            .map(|pid| self.inspect(ProcessKey { pid, start: 0 }))
            .filter(|found| !matches!(found, Err(ProcError::Gone { .. })))
            .filter(|found| !matches!(found, Ok(facts) if facts.exe.is_empty() && facts.runtime == Runtime::Other)))
    }

    /// The process that has this pid now, if any.
    pub fn key(&self, pid: u32) -> Option<ProcessKey> {
        match self.start_of(pid) {
            0 => None,
            start => Some(ProcessKey { pid, start }),
        }
    }

    /// Opens a process's `statm`, to be kept for sampling.
    pub(crate) fn statm(&self, key: ProcessKey) -> Result<File, ProcError> {
        let process = self.open(key)?;
        let file = process.file("statm").map_err(|source| ProcError::Read {
            pid: key.pid,
            file: "statm",
            source,
        })?;
        process.stat()?;
        Ok(file)
    }

    /// Where this procfs is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn open(&self, key: ProcessKey) -> Result<ProcessDir, ProcError> {
        let process = ProcessDir::open(&self.root, key.pid)?;
        if key.start != 0 && process.stat()?.start != key.start {
            return Err(ProcError::Gone { pid: key.pid });
        }
        Ok(process)
    }

    /// Start of a process, 0 where it has gone (or is the parent of init, which is none).
    fn start_of(&self, pid: u32) -> u64 {
        if pid == 0 {
            return 0;
        }
        ProcessDir::open(&self.root, pid)
            .and_then(|process| process.stat())
            .map_or(0, |stat| stat.start)
    }
}

/// V8's flags by which a process of this host was started, as far as its arguments and environment may be read.
pub(crate) fn heap_flags(pid: u32) -> HeapFlags {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    args::merge(
        args::cmdline(&read("cmdline")).flags,
        environ::parse(&read("environ")).flags,
    )
}

/// What is read of a watched process only. What may not be read (SYS_PTRACE, DAC_READ_SEARCH) stays empty.
fn describe(process: &ProcessDir, facts: &mut ProcessFacts) -> Result<(), ProcError> {
    let arguments = args::cmdline(&process.read("cmdline")?);
    let environment = process
        .read("environ")
        .map(|text| environ::parse(&text))
        .unwrap_or_default();
    facts.otel = environment.otel;
    if facts.runtime == Runtime::Agent {
        facts.package = Some(Package {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        });
        return Ok(());
    }
    facts.script = arguments.script;
    facts.heap_flags = args::merge(arguments.flags, environment.flags);
    facts.cwd = process.link("cwd");
    facts.package = Rooted::of(process.fd())
        .ok()
        .and_then(|root| package::nearest(&root, facts.script.as_deref(), facts.cwd.as_deref()));
    Ok(())
}
