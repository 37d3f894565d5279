//! Heaps read from outside, on every Node.js version in the cache: counts against the process's own heap snapshot, the
//! leak catalogue, and what a reading costs the process (nothing).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

mod bundles;
mod catalogue;
mod devtools;
mod diagnosis;
mod exact;
mod export;
mod moved;
mod pprof;
mod replaced;
mod retained;
mod scopes;
mod snapshot;
mod untouched;
mod used_pages;

use std::{path::Path, process::Command};

use observer::source::memory::{self, LiveMemory};
use observer_heap::{Metadata, Reader, Reading};
use observer_tests::{
    app::{self, App},
    musl, need, places,
};

/// The versions of the support matrix.
const MAJORS: [u32; 5] = [18, 20, 22, 24, 26];

/// Starts one of the heap fixtures with a major collection every 400 ms.
fn start(node: &Path, script: &str) -> App {
    let mut command = Command::new(node);
    command.arg("--expose-gc").arg("-r");
    command.arg(places::fixtures().join("heap/major.js"));
    started(command, script)
}

/// Starts one of them as anybody would.
fn bare(node: &Path, script: &str) -> App {
    started(Command::new(node), script)
}

fn started(mut command: Command, script: &str) -> App {
    command.arg(places::fixtures().join("heap").join(script));
    let mut app = App::start(&mut command).unwrap();
    app.output
        .wait("readiness", app::READY, |line| line.contains("\"ready\"").then_some(()))
        .unwrap();
    app
}

/// Two versions, or in the long form of the tests the whole matrix: starting each of them takes its time.
fn some_nodes() -> Vec<(u32, std::path::PathBuf)> {
    let mut nodes = nodes();
    if std::env::var_os(observer_tests::need::FULL).is_none_or(|full| full != "1") {
        nodes.retain(|(major, _)| matches!(major, 20 | 24));
    }
    nodes
}

/// The Node.js versions of the matrix that are in the cache.
fn nodes() -> Vec<(u32, std::path::PathBuf)> {
    MAJORS
        .into_iter()
        .filter_map(|major| Some((major, places::cached_node(major)?)))
        .collect()
}

/// Reads the heap of a process.
fn read(pid: u32) -> Reading {
    let metadata = memory::metadata(pid).unwrap();
    read_with(&LiveMemory::open(pid).unwrap(), &metadata).1
}

/// Reads as the command and the agent do.
fn read_with<'m>(live: &'m LiveMemory, metadata: &Metadata) -> (Reader<'m>, Reading) {
    let mut reader = memory::open(live, metadata, None).unwrap();
    let reading = reader.read(&mut |_, _| {}).unwrap();
    (reader, reading)
}
