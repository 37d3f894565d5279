//! Late, doubled, missing and contradictory records.

use super::{CODE_0, KILLED, LEAKY, World, key, node};
use crate::{
    Request, What,
    input::Lost,
    kernel::KernelEvent,
    process::{ProcessFacts, Runtime},
    time::BootTime,
};

#[test]
fn an_exit_before_the_facts_ends_the_run_all_the_same() {
    let mut world = World::new();
    world
        .exec(key(10, 100))
        .exit(key(10, 100), KILLED)
        .facts(node(key(10, 100), LEAKY))
        .at(110);
    world.start(node(key(11, 110), LEAKY)).at(120);
    assert_eq!(world.edges(), ["restart run 2 after terminated"]);
}

#[test]
fn an_exit_before_exec_and_facts_ends_the_run_all_the_same() {
    let mut world = World::new();
    world
        .exit(key(10, 100), CODE_0)
        .exec(key(10, 100))
        .facts(node(key(10, 100), LEAKY))
        .at(110);
    world.start(node(key(11, 110), LEAKY)).at(120);
    assert_eq!(world.edges(), ["restart run 2 after completed"]);
}

/// An inspection that is slower than a launcher: its answer is about the launcher, and Node.js came after it.
#[test]
fn an_image_replaced_while_it_was_inspected_is_inspected_again() {
    let pid = key(10, 100);
    let asked = |world: &World| world.requests.iter().filter(|r| **r == Request::Inspect(pid)).count();
    let mut world = World::new();
    world.exec(pid).exec(pid);
    assert_eq!(asked(&world), 1);
    let launcher = ProcessFacts {
        runtime: Runtime::Other,
        ..node(pid, LEAKY)
    };
    world.facts(launcher);
    assert_eq!(asked(&world), 2);
    world.facts(node(pid, LEAKY)).at(110);
    assert_eq!(asked(&world), 2);
    world.exit(pid, KILLED).at(120);
    world.start(node(key(11, 120), LEAKY)).at(130);
    assert_eq!(world.edges(), ["restart run 2 after terminated"]);
}

#[test]
fn everything_twice_is_the_same_as_once() {
    let once = story(1);
    let twice = story(2);
    assert_eq!(once.edges(), twice.edges());
    let ids = |w: &World| w.findings.iter().map(|f| f.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&once), ids(&twice));
}

fn story(times: usize) -> World {
    let mut world = World::new();
    for life in 0..3_u64 {
        let pid = key(10 + life as u32, 100 + life * 60);
        world.at(100 + life * 60);
        for _ in 0..times {
            world.exec(pid);
        }
        for _ in 0..times {
            world.facts(node(pid, LEAKY));
        }
        world.at(150 + life * 60);
        for _ in 0..times {
            world.mark(pid);
        }
        for _ in 0..times {
            world.exit(pid, KILLED);
        }
    }
    world.at(400);
    world
}

#[test]
fn a_reused_pid_ends_its_former_owner_unseen() {
    let mut world = World::new();
    world
        .start(node(key(10, 100), LEAKY))
        .at(150)
        .start(node(key(10, 150), LEAKY))
        .at(160);
    assert_eq!(world.edges(), ["restart run 2 after unknown"]);
}

#[test]
fn a_released_cgroup_ends_a_run_whose_exit_was_lost() {
    let mut world = World::new();
    world.start(node(key(10, 100), LEAKY)).at(150);
    world.feed(What::Kernel(KernelEvent::CgroupRelease {
        root: 0,
        id: 7,
        path: LEAKY.into(),
    }));
    world.at(160).start(node(key(11, 160), LEAKY)).at(170);
    assert_eq!(world.edges(), ["restart run 2 after unknown"]);
}

#[test]
fn the_late_release_of_a_predecessor_ends_nothing() {
    let mut world = World::new();
    let path = || LEAKY.to_owned();
    world.start(node(key(10, 100), LEAKY)).at(150);
    world.mark(key(10, 100)).exit(key(10, 100), KILLED);
    // The kernel frees a cgroup's remains long after another was made in its place.
    world.feed(What::Kernel(KernelEvent::CgroupMkdir {
        root: 4,
        id: 8,
        path: path(),
    }));
    world.at(160).start(node(key(11, 160), LEAKY)).at(162);
    world.feed(What::Kernel(KernelEvent::CgroupRelease {
        root: 4,
        id: 7,
        path: path(),
    }));
    world.at(200).mark(key(11, 160)).exit(key(11, 160), KILLED);
    world.at(210).start(node(key(12, 210), LEAKY)).at(220);
    let edges = world.edges();
    assert!(edges.iter().all(|edge| !edge.contains("unknown")), "{edges:?}");
    assert!(
        edges.contains(&"restart run 3 after kernel_oom".to_owned()),
        "{edges:?}"
    );
}

#[test]
fn a_release_that_overtakes_the_exit_changes_nothing() {
    let mut world = World::new();
    world.start(node(key(10, 100), LEAKY)).at(150);
    world.feed(What::Kernel(KernelEvent::CgroupRelease {
        root: 0,
        id: 7,
        path: LEAKY.into(),
    }));
    world.mark(key(10, 100)).exit(key(10, 100), KILLED);
    world.at(160).start(node(key(11, 160), LEAKY)).at(170);
    assert_eq!(world.edges()[1], "restart run 2 after kernel_oom");
}

#[test]
fn a_loss_makes_an_end_inferred_and_asks_who_is_still_there() {
    let mut world = World::new();
    world.start(node(key(10, 100), LEAKY)).at(150);
    world.requests.clear();
    world.feed(What::Lost(Lost {
        stage: "ring".into(),
        kind: "exit".into(),
        count: 3,
    }));
    assert_eq!(world.requests, [crate::Request::Inspect(key(10, 100))]);
    world
        .exit(key(10, 100), CODE_0)
        .at(160)
        .start(node(key(11, 160), LEAKY))
        .at(170);
    assert_eq!(world.edges(), ["restart run 2 after completed"]);
    assert_eq!(world.findings[0].confidence, crate::finding::Confidence::Inferred);
    assert_eq!(world.engine.counts().lost.get("ring"), Some(&3));
}

#[test]
fn a_gap_is_told_and_what_ended_in_it_is_unknown() {
    let mut world = World::new();
    world.start(node(key(10, 100), LEAKY)).at(200);
    world.feed(What::Gap {
        from: BootTime(150 * crate::time::SECOND),
        reason: "the reader stood still".into(),
    });
    world.feed(What::Vanished(key(10, 100)));
    world.at(210).start(node(key(11, 160), LEAKY)).at(220);
    assert_eq!(
        world.edges(),
        ["gap the reader stood still", "restart run 2 after unknown"]
    );
}
