//! What finds no room is counted, and takes nothing else with it.

use std::process::Command;

use observer::kernel::{MapError, Options};
use observer_core::kernel::KernelEvent;
use observer_tests::need;

use crate::tap::{Tap, key, waiting};

/// More execs than the smallest ring holds (4 KiB, 64 bytes each with the ring's own header).
const CHILDREN: usize = 200;

#[test]
fn a_full_ring_is_counted_by_kind_and_deaths_are_not_crowded_out() {
    need!(Root, Bpf);
    let mut tap = Tap::with(&Options {
        events_bytes: 4096,
        ..Options::default()
    });
    let children: Vec<u32> = (0..CHILDREN)
        .map(|_| {
            let mut child = Command::new("/bin/true").spawn().unwrap();
            child.wait().unwrap();
            child.id()
        })
        .collect();
    tap.barrier();
    let lost = tap.kernel.drops();
    let execs = tap
        .edges()
        .filter(|event| matches!(event, KernelEvent::Exec { process, .. } if children.contains(&process.pid)))
        .count();
    let dropped: u64 = lost
        .iter()
        .filter(|lost| lost.stage == "ring" && lost.kind == "exec")
        .map(|lost| lost.count)
        .sum();
    assert!(dropped > 0, "{lost:?}");
    // Other programs of the host start meanwhile, and lose records too.
    assert!(
        execs as u64 + dropped >= CHILDREN as u64,
        "{execs} told, {dropped} lost"
    );
    assert!(lost.iter().all(|lost| lost.kind != "exit"), "{lost:?}");
    for child in children {
        assert_eq!(tap.exits(child), 1);
    }
    assert!(
        tap.kernel.drops().iter().all(|lost| lost.count < dropped),
        "a loss is told once"
    );
}

#[test]
fn a_full_map_of_watched_processes_is_an_error_that_names_it() {
    need!(Root, Bpf);
    let mut tap = Tap::with(&Options {
        watched_max: 2,
        ..Options::default()
    });
    let mut children = [waiting(), waiting(), waiting()];
    let keys = children.each_ref().map(|child| key(child.id()));
    tap.kernel.watch(keys[0]).unwrap();
    tap.kernel.watch(keys[1]).unwrap();
    let error = tap.kernel.watch(keys[2]).unwrap_err();
    assert!(matches!(error, MapError::Full { max: 2, .. }), "{error}");
    tap.kernel.unwatch(keys[0]);
    tap.kernel.watch(keys[2]).unwrap();
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
