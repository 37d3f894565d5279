//! Deaths as the engine sees them, records and levels together.

use super::{KILLED, LEAKY, World, key, node};
use crate::{Request, process::ProcessFacts};

#[test]
fn a_child_killed_for_memory_is_told_without_a_restart() {
    let mut world = World::new();
    let (init, child) = (key(10, 100), key(11, 110));
    world.start(node(init, LEAKY)).at(110);
    world.start(ProcessFacts {
        parent: init,
        ns_pid: 7,
        ..node(child, LEAKY)
    });
    world
        .sample(init, LEAKY, 500, 512)
        .at(150)
        .mark(child)
        .exit(child, KILLED)
        .at(160);
    assert_eq!(world.edges(), ["oom_kill Container main=false others=0"]);
}

#[test]
fn a_group_kill_is_one_finding_with_its_co_victims() {
    let mut world = World::new();
    let init = key(10, 100);
    world.start(node(init, LEAKY));
    for n in 0..3 {
        world.start(ProcessFacts {
            parent: init,
            ns_pid: 7 + n,
            ..node(key(11 + n, 101), LEAKY)
        });
    }
    world.sample(init, LEAKY, 300, 512).at(150);
    for n in (0..4).rev() {
        world.mark(key(10 + n, if n == 0 { 100 } else { 101 }));
    }
    for n in 0..4 {
        world.exit(key(10 + n, if n == 0 { 100 } else { 101 }), KILLED);
    }
    world.at(160);
    assert_eq!(world.edges(), ["oom_kill Container main=true others=3"]);
}

#[test]
fn a_mark_without_sigkill_is_no_kill() {
    let mut world = World::new();
    let pid = key(10, 100);
    world
        .start(node(pid, LEAKY))
        .at(150)
        .mark(pid)
        .exit(pid, super::CODE_0)
        .at(160);
    world.start(node(key(11, 160), LEAKY)).at(170);
    assert_eq!(world.edges(), ["restart run 2 after completed"]);
}

/// The rung of files only: no status, no mark; the cgroup's counter decides.
#[test]
fn with_files_only_the_kill_counter_decides() {
    let mut world = World::new();
    let pid = key(10, 100);
    world.start(node(pid, LEAKY)).sample(pid, LEAKY, 300, 512).at(150);
    world.requests.clear();
    world.feed(crate::What::Vanished(pid));
    assert!(world.requests.contains(&Request::OomKills { cgroup: LEAKY.into() }));
    world.feed(crate::What::OomKills {
        cgroup: LEAKY.into(),
        count: 1,
    });
    world.at(160).start(node(key(11, 160), LEAKY)).at(170);
    assert_eq!(
        world.edges(),
        [
            "oom_kill Container main=true others=0",
            "restart run 2 after kernel_oom"
        ]
    );
    assert_eq!(world.findings[0].confidence, crate::finding::Confidence::Inferred);
}

/// As init the kernel ignores SIGABRT and the abort traps; the level says it was the heap.
#[test]
fn a_heap_limit_death_as_init() {
    let mut world = World::new();
    let pid = key(10, 100);
    world.start(node(pid, LEAKY)).sample(pid, LEAKY, 240, 512).at(150);
    world
        .signal(pid, 6, -6, false, (10, "node"))
        .signal(pid, 6, -6, false, (10, "node"));
    world.exit(pid, Some(crate::kernel::ExitStatus::Signal(11))).at(160);
    world.start(node(key(11, 160), LEAKY)).at(170);
    assert_eq!(
        world.edges(),
        ["heap_oom Some(Signal(11))", "restart run 2 after v8_heap_oom"]
    );
}

#[test]
fn who_stopped_it_is_told() {
    let mut world = World::new();
    let pid = key(10, 100);
    world
        .start(node(pid, LEAKY))
        .at(150)
        .signal(pid, 15, 0, true, (7, "bash"))
        .at(151);
    world
        .exit(pid, super::CODE_0)
        .at(160)
        .start(node(key(11, 160), LEAKY))
        .at(170);
    assert_eq!(world.edges(), ["restart run 2 after terminated"]);
    let crate::finding::Event::Restart(restart) = &world.findings[0].event else {
        panic!("a restart")
    };
    assert_eq!(
        restart.previous.end.because,
        "bash (pid 7) sent SIGTERM; it then exited with code 0"
    );
}
