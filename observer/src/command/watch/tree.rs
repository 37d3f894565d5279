//! Processes below one: read from /proc, produce those that run Node.js, with their levels.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use observer_core::process::ProcessKey;

use super::cgroup::OwnCgroup;
use crate::source::proc::stat::{Stat, rss_anon, stat};

/// A process and everything it started that is alive.
fn below(root: u32) -> BTreeSet<ProcessKey> {
    let mut children: BTreeMap<u32, Vec<ProcessKey>> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Some(stat) = status(pid) else { continue };
        let key = ProcessKey { pid, start: stat.start };
        children.entry(stat.ppid).or_default().push(key);
        if pid == root {
            found.insert(key);
        }
    }
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if found.insert(child) {
                next.push(child.pid);
            }
        }
    }
    found
}

/// The processes of a command: below its first one, and in its cgroup.
pub(super) fn of_command(root: u32, own: Option<&OwnCgroup>) -> BTreeSet<ProcessKey> {
    let mut found = below(root);
    for pid in own.map(OwnCgroup::pids).unwrap_or_default() {
        found.extend(status(pid).map(|stat| ProcessKey { pid, start: stat.start }));
    }
    found
}

/// What /proc says of a process that is alive.
fn status(pid: u32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    stat(&text).filter(|stat| !stat.is_dead())
}

/// Whether there is such a process.
pub(super) fn exists(pid: u32) -> bool {
    status(pid).is_some()
}

/// Whether it is still that process.
pub(super) fn lives(key: ProcessKey) -> bool {
    status(key.pid).is_some_and(|stat| stat.start == key.start)
}

/// The program that it runs: a file's path.
pub(super) fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Its arguments, as it was started.
pub(super) fn arguments(pid: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|byte| *byte == 0)
        .filter(|argument| !argument.is_empty())
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Anonymous memory that is resident, bytes.
pub(super) fn anonymous(pid: u32) -> Option<u64> {
    rss_anon(&fs::read(format!("/proc/{pid}/status")).ok()?)
}
