//! Programs with another allocator than glibc's: which it is is told, and its memory in one number that adds up with the rest.

use observer_tests::{counterpart, musl, need, places};
use serde_json::Value;

use super::{InCgroup, grown, is_about, part};

/// Compressors that are never closed: native memory leaks, whoever allocates it.
const SCRIPT: &str = "heap/gzip-never-closed.js";

#[track_caller]
fn is_told(leak: &InCgroup, allocator: &str) {
    let told = grown(&leak.pid());
    for moment in ["before", "after"] {
        let process: &Value = &told[moment]["processes"][0];
        assert_eq!(process["allocator"], allocator, "{told:#}");
        assert_eq!(process["arenas"], Value::Array(Vec::new()), "{told:#}");
        assert_eq!(part(&told[moment], &["native"]), 0, "{told:#}");
    }
    is_about(
        &told,
        "allocator",
        &["in use and free", "which of the two is not told of this allocator"],
    );
    let grew = part(&told["after"], &["other_allocator"]) - part(&told["before"], &["other_allocator"]);
    // 268 kB for each of 150 in a second: far less than that even on a machine that has no time.
    assert!(grew > 4 << 20, "{grew}: {told:#}");
}

fn preloaded(name: &str, (package, library): (&'static str, &'static str)) -> InCgroup {
    let library = counterpart::debian_library(package, library).unwrap();
    InCgroup::command(name, |memory| {
        let mut command = memory.command(&places::node().unwrap());
        command.arg(places::fixtures().join(SCRIPT)).env("LD_PRELOAD", library);
        command
    })
}

#[test]
fn jemalloc_is_told_as_a_total() {
    need!(Root, Memory, Node, Library("libjemalloc2", "libjemalloc.so.2"));
    let leak = preloaded("memory-jemalloc", ("libjemalloc2", "libjemalloc.so.2"));
    is_told(&leak, "jemalloc");
}

#[test]
fn mimalloc_is_told_as_a_total() {
    need!(Root, Memory, Node, Library("libmimalloc2.0", "libmimalloc.so.2.0"));
    let leak = preloaded("memory-mimalloc", ("libmimalloc2.0", "libmimalloc.so.2.0"));
    is_told(&leak, "mimalloc");
}

#[test]
fn musl_is_told_as_a_total() {
    need!(Root, Memory, Musl);
    let leak = InCgroup::command("memory-musl", |memory| {
        let mut command = musl::node(|program| memory.command(program)).unwrap();
        command.arg(places::fixtures().join(SCRIPT));
        command
    });
    is_told(&leak, "musl");
}
