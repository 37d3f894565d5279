//! What is a life and what is not.

use super::{CODE_0, KILLED, LEAKY, World, bare, key, node, other};
use crate::{Request, kernel::ExitStatus, process::ProcessKey};

#[test]
fn a_new_process_is_inspected_and_a_node_is_watched() {
    let mut world = World::new();
    let one = key(10, 100);
    world.exec(one);
    assert_eq!(world.requests, [Request::Inspect(one)]);
    world.facts(node(one, LEAKY));
    assert!(world.requests.contains(&Request::Watch {
        process: one,
        cgroup: LEAKY.into()
    }));
}

#[test]
fn what_is_not_node_is_not_watched() {
    let mut world = World::new();
    world
        .start(other(key(10, 100), LEAKY))
        .exit(key(10, 100), CODE_0)
        .at(110);
    assert!(!world.requests.iter().any(|r| matches!(r, Request::Watch { .. })));
    assert!(world.findings.is_empty());
}

#[test]
fn three_lives_in_one_cgroup_are_three_runs_of_one_slot() {
    let mut world = World::new();
    for life in 0..3 {
        let start = 100 + life * 60;
        let pid = key(10 + life as u32, start);
        world.at(start).start(node(pid, LEAKY)).sample(pid, LEAKY, 300, 512);
        world.at(start + 50).mark(pid).exit(pid, KILLED);
    }
    world.at(400);
    assert_eq!(
        world.edges(),
        [
            "oom_kill Container main=true others=0",
            "restart run 2 after kernel_oom",
            "oom_kill Container main=true others=0",
            "restart run 3 after kernel_oom",
            "oom_kill Container main=true others=0",
            "recurring_oom 3 kills, leak_or_undersized",
        ]
    );
}

/// A supervisor may be faster than the records of the death.
#[test]
fn a_life_that_begins_within_the_grace_waits_for_the_verdict_on_the_last() {
    let mut world = World::new();
    world.start(node(key(10, 100), LEAKY));
    world
        .at(150)
        .exit(key(10, 100), KILLED)
        .start(node(key(11, 150), LEAKY));
    assert!(world.findings.is_empty());
    world.at(151).mark(key(10, 100)).at(153);
    assert_eq!(world.edges()[1], "restart run 2 after kernel_oom");
}

/// So many children of a process, each of which lives eight seconds from second 110 on and fails.
fn children_one_after_another(world: &mut World, parent: ProcessKey, count: u32) {
    for n in 0..count {
        let (begun, pid) = (110 + u64::from(n) * 10, 20 + n);
        let child = key(pid, begun);
        world.at(begun).start(crate::process::ProcessFacts {
            parent,
            ns_pid: 7 + n,
            ..node(child, LEAKY)
        });
        world.at(begun + 8).exit(child, Some(ExitStatus::Code(1)));
    }
}

#[test]
fn workers_recycled_inside_a_container_are_no_restart() {
    let mut world = World::new();
    let init = key(10, 100);
    world.start(node(init, LEAKY));
    children_one_after_another(&mut world, init, 4);
    world.at(200);
    assert!(world.findings.is_empty(), "{:?}", world.edges());
}

/// `sh -c 'while :; do node server.js; done'` as init: the container lives on.
#[test]
fn node_restarted_by_a_shell_inside_the_container_is_no_restart_of_the_container() {
    let mut world = World::new();
    let sh = key(9, 100);
    world.start(other(sh, LEAKY));
    children_one_after_another(&mut world, sh, 3);
    world.at(200);
    assert!(world.findings.is_empty(), "{:?}", world.edges());
    world
        .exit(sh, Some(ExitStatus::Code(1)))
        .at(210)
        .start(node(key(30, 210), LEAKY))
        .at(220);
    assert_eq!(world.edges(), ["restart run 2 after error_exit"]);
}

#[test]
fn a_shell_that_becomes_node_is_one_process_and_one_run() {
    let mut world = World::new();
    let pid = key(10, 100);
    world.start(other(pid, LEAKY)).at(101).start(node(pid, LEAKY)).at(110);
    world.exit(pid, CODE_0).at(120).start(node(key(11, 120), LEAKY)).at(130);
    assert_eq!(world.edges(), ["restart run 2 after completed"]);
}

/// `sh -c node` where the shell stays: it ends after its child, with its child's status made a code.
#[test]
fn the_end_of_a_wrapped_node_is_that_of_the_node() {
    let mut world = World::new();
    let (sh, child) = (key(9, 100), key(10, 100));
    world.start(other(sh, LEAKY));
    world.start(crate::process::ProcessFacts {
        parent: sh,
        ns_pid: 7,
        ..node(child, LEAKY)
    });
    world
        .at(150)
        .sample(child, LEAKY, 480, 512)
        .mark(child)
        .exit(child, KILLED);
    world
        .exit(sh, Some(ExitStatus::Code(137)))
        .at(160)
        .start(node(key(11, 160), LEAKY))
        .at(170);
    assert_eq!(world.edges()[1], "restart run 2 after kernel_oom");
}

#[test]
fn a_bare_process_is_known_again_by_script_and_directory_under_its_parent() {
    let mut world = World::new();
    let supervisor = key(5, 50);
    world
        .start(bare(key(10, 100), supervisor))
        .at(150)
        .exit(key(10, 100), KILLED)
        .at(160);
    world.start(bare(key(11, 160), supervisor)).at(170);
    assert_eq!(world.edges(), ["restart run 2 after terminated"]);
}

#[test]
fn two_bare_processes_alike_are_two_slots() {
    let mut world = World::new();
    let supervisor = key(5, 50);
    world
        .start(bare(key(10, 100), supervisor))
        .start(bare(key(11, 100), supervisor))
        .at(150);
    world
        .exit(key(11, 100), CODE_0)
        .at(160)
        .start(bare(key(12, 160), supervisor))
        .at(170);
    assert_eq!(world.edges(), ["restart run 2 after completed"]);
    let subject = world.findings[0].subject.clone().expect("a restart has a subject");
    assert_eq!(subject.instance, 1);
}

#[test]
fn a_slot_goes_on_under_a_supervisor_that_was_itself_restarted() {
    let mut world = World::new();
    let (first, second) = (key(5, 50), key(6, 155));
    world
        .start(bare(key(10, 100), first))
        .at(150)
        .exit(key(10, 100), KILLED)
        .exit(first, CODE_0);
    world.at(160).start(bare(key(11, 160), second)).at(170);
    assert_eq!(world.edges(), ["restart run 2 after terminated"]);
}

#[test]
fn a_cluster_of_bare_workers_is_one_run() {
    let mut world = World::new();
    let primary = key(10, 100);
    world.start(bare(primary, key(5, 50)));
    world
        .start(bare(key(11, 101), primary))
        .start(bare(key(12, 101), primary));
    world
        .at(150)
        .exit(key(11, 101), Some(ExitStatus::Code(1)))
        .at(160)
        .start(bare(key(13, 160), primary))
        .at(170);
    assert!(world.findings.is_empty(), "{:?}", world.edges());
}

#[test]
fn a_service_restarted_by_systemd_is_a_new_run() {
    let mut world = World::new();
    let unit = "/system.slice/api.service";
    let service = |pid: ProcessKey| bare_in(pid, unit);
    world
        .start(service(key(10, 100)))
        .at(150)
        .exit(key(10, 100), Some(ExitStatus::Code(3)))
        .at(151);
    world.start(service(key(11, 151))).at(160);
    assert_eq!(world.edges(), ["restart run 2 after error_exit"]);
}

fn bare_in(pid: ProcessKey, cgroup: &str) -> crate::process::ProcessFacts {
    crate::process::ProcessFacts {
        cgroup: cgroup.into(),
        ..bare(pid, ProcessKey { pid: 1, start: 1 })
    }
}

/// Thirty-two restarts in three minutes are one finding that is updated; every one of them is counted.
#[test]
fn a_crash_loop_is_one_finding_and_its_end_is_told() {
    let mut world = World::new();
    for life in 0..33_u64 {
        let pid = key(10 + life as u32, 100 + life * 5);
        world.at(100 + life * 5).start(node(pid, LEAKY));
        if life < 32 {
            world.at(102 + life * 5).exit(pid, Some(ExitStatus::Code(1)));
        }
    }
    let last = key(42, 260);
    world.at(300).sample(last, LEAKY, 100, 512);
    assert_eq!(
        world.edges(),
        [
            "restart run 2 after error_exit",
            "restart run 3 after error_exit",
            "restart run 4 after error_exit",
            "crash_loop 4 over=false",
            "crash_loop 8 over=false",
            "crash_loop 16 over=false",
            "crash_loop 32 over=false",
        ]
    );
    let said = crate::telemetry::event(world.findings.iter().rfind(|f| f.event.kind() == "crash_loop").unwrap()).body;
    assert_eq!(
        said,
        "leaky is in a crash loop: 32 restarts in 2 min 40 s, now one every 5.0 s; it failed 32 times (the last time it exited \
         with code 1)"
    );
    assert_eq!(world.engine.workloads()[0].restarts, 32);
    world.at(900).sample(last, LEAKY, 100, 512);
    assert_eq!(world.edges().last().unwrap(), "crash_loop 32 over=true");
}

/// `echo PID > cgroup.procs` after the start, or a limit that is set later.
#[test]
fn a_bare_process_that_is_put_into_a_limited_cgroup_is_a_container_from_then_on() {
    let mut world = World::new();
    let (pid, helper) = (key(10, 100), key(11, 130));
    world.start(bare(pid, ProcessKey { pid: 9, start: 1 })).at(101);
    world.sample(pid, "/user.slice/session-1.scope", 40, 4_096);
    world.requests.clear();
    world.at(102);
    world.feed(crate::What::Resource(Box::new(crate::process::PublishedResource {
        process: pid,
        attributes: std::collections::BTreeMap::new(),
        cgroup: "/jobs/shop".into(),
        limit_cgroup: Some("/jobs/shop".into()),
    })));
    let watch = Request::Watch {
        process: pid,
        cgroup: "/jobs/shop".into(),
    };
    assert!(world.requests.contains(&watch), "its level is the cgroup's from now on");
    world.at(120).sample(pid, "/jobs/shop", 400, 512).fork(helper, pid);
    world.at(131).mark(helper).exit(helper, KILLED).at(140);
    world.mark(pid).exit(pid, KILLED).at(150);
    let next = crate::process::ProcessFacts {
        cgroup: "/jobs/shop".into(),
        limit_cgroup: Some("/jobs/shop".into()),
        ..bare(key(20, 150), ProcessKey { pid: 9, start: 1 })
    };
    world.start(next).at(160);
    assert_eq!(
        world.edges(),
        [
            "oom_kill Container main=false others=0",
            "oom_kill Container main=true others=0",
            "restart run 2 after kernel_oom",
        ]
    );
    let slots: Vec<_> = world
        .engine
        .workloads()
        .into_iter()
        .flat_map(|workload| workload.slots)
        .collect();
    assert_eq!(slots.len(), 1, "{slots:?}");
    assert_eq!(slots[0].slot.to_string(), "cgroup /jobs/shop");
}
