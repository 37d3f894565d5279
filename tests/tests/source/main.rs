//! The agent's sources on a real kernel: who a process is, what its cgroup holds, and where V8's heap ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

mod heap_limit;
mod identity;
mod levels;

use std::{path::Path, sync::Arc};

use observer::source::{Procfs, cgroup::Hierarchy};
use observer_core::process::{ProcessFacts, ProcessKey};

const MIB: u64 = 1 << 20;

fn hierarchy() -> Arc<Hierarchy> {
    Arc::new(Hierarchy::discover(Path::new("/proc"), None).unwrap())
}

fn procfs() -> Procfs {
    Procfs::new("/proc", hierarchy())
}

fn inspect(pid: u32) -> ProcessFacts {
    procfs().inspect(ProcessKey { pid, start: 0 }).unwrap()
}
