//! Deaths as the engine sees them, records and levels together.

use super::{KILLED, LEAKY, World, bare, key, node, other};
use crate::{
    Request,
    engine::MarkCounts,
    finding::{Event, OomScope},
    kernel::{KernelEvent, OomVictim},
    process::{ProcessFacts, ProcessKey},
};

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

/// A Node.js process in a cgroup that somebody limited by hand: no pid namespace of its own, any parent.
fn by_hand(key: ProcessKey, cgroup: &str) -> ProcessFacts {
    ProcessFacts {
        cgroup: cgroup.into(),
        limit_cgroup: Some("/jobs/shop".into()),
        ..bare(key, ProcessKey { pid: 9, start: 1 })
    }
}

/// The helper was never inspected: it came and went between two looks.
#[test]
fn a_helper_killed_in_a_cgroup_of_nobodys_is_told_and_nothing_restarts() {
    let mut world = World::new();
    let (main, shell, helper) = (key(10, 100), key(11, 140), key(12, 140));
    world.start(by_hand(main, "/jobs/shop"));
    assert!(world.requests.contains(&Request::Watch {
        process: main,
        cgroup: "/jobs/shop".into()
    }));
    world.at(139).sample(main, "/jobs/shop", 40, 512).at(140);
    world.fork(shell, main).fork(helper, shell);
    world
        .at(142)
        .mark(helper)
        .exit(helper, KILLED)
        .exit(shell, super::CODE_0);
    world.at(150);
    assert_eq!(world.edges(), ["oom_kill Container main=false others=0"]);
    let Event::OomKill(kill) = &world.findings[0].event else {
        panic!("a kill")
    };
    assert_eq!((kill.pid, kill.limit), (12, Some(512 * super::MB)));
    assert_eq!(
        world.engine.counts().oom_marks,
        MarkCounts {
            reported: 1,
            ..MarkCounts::default()
        }
    );
    assert_eq!(world.engine.workloads()[0].oom_kills, 1);
}

/// Of a child's children nothing tells the forks, and what is read of one that is ending names the root cgroup: it is a
/// member by its parent.
#[test]
fn a_helper_s_helper_killed_before_it_could_be_inspected_is_told() {
    for facts_in_time in [false, true] {
        let mut world = World::new();
        let (main, shell, helper) = (key(10, 100), key(11, 140), key(12, 140));
        world.start(by_hand(main, "/jobs/shop"));
        world.at(139).sample(main, "/jobs/shop", 40, 512).at(140);
        world
            .fork(shell, main)
            .exec_of(shell, main.pid)
            .exec_of(helper, shell.pid);
        if facts_in_time {
            world.facts(ProcessFacts {
                parent: shell,
                ..other(helper, "/jobs/shop")
            });
        }
        world.at(142).mark(helper).exit(helper, KILLED);
        world.feed(crate::What::Vanished(helper));
        world.exit(shell, super::CODE_0).at(150);
        assert_eq!(world.edges(), ["oom_kill Container main=false others=0"]);
    }
    // One that was put into another cgroup before it executed is that one's.
    let mut world = World::new();
    let (main, moved) = (key(10, 100), key(12, 140));
    world.start(by_hand(main, "/jobs/shop")).at(139);
    world.sample(main, "/jobs/shop", 40, 512).at(140);
    world.exec_of(moved, main.pid).facts(ProcessFacts {
        parent: main,
        ..other(moved, "/jobs/other")
    });
    world.at(142).mark(moved).exit(moved, KILLED).at(150);
    assert_eq!(world.edges(), [""; 0]);
}

/// An older kernel's mark has no sizes, and the last sample is from long before: only the counters say whose limit it was, and only
/// a reading since the death says that none rose.
#[test]
fn whose_limit_it_was_is_not_concluded_from_counters_that_were_not_read_since() {
    for (read_since, scope) in [
        (None, OomScope::Unknown),
        (Some(0), OomScope::Host),
        (Some(1), OomScope::Unknown),
    ] {
        let mut world = World::new();
        let main = key(10, 100);
        let counted = |count| crate::What::OomKills {
            cgroup: "/jobs/shop".into(),
            count,
        };
        world.start(by_hand(main, "/jobs/shop"));
        world.feed(counted(0));
        world.at(139).sample(main, "/jobs/shop", 40, 512).at(142);
        world.feed(crate::What::Kernel(KernelEvent::OomVictim(OomVictim {
            process: main,
            tid: main.pid,
            comm: "node".into(),
            anon: None,
            file: None,
            shmem: None,
            pgtables: None,
            oom_score_adj: None,
        })));
        world.exit(main, KILLED);
        read_since.into_iter().for_each(|count| world.feed(counted(count)));
        world.at(150);
        let kill = world.findings.iter().find_map(|finding| match &finding.event {
            Event::OomKill(kill) => Some(kill),
            _ => None,
        });
        let kill = kill.unwrap();
        let limit = (scope == OomScope::Unknown).then_some(512 * super::MB);
        assert_eq!((kill.scope, kill.limit), (scope, limit), "{read_since:?}");
    }
}

/// Its level is the cgroup's, whichever of its cgroups the process is in.
#[test]
fn a_cgroup_with_a_limit_is_a_container_with_all_that_is_below_it() {
    let mut world = World::new();
    let (main, worker) = (key(10, 100), key(11, 101));
    world.start(by_hand(main, "/jobs/shop/web")).at(101);
    world.start(ProcessFacts {
        parent: main,
        ..by_hand(worker, "/jobs/shop/workers/1")
    });
    world.start(other(key(12, 101), "/jobs/shop"));
    world.sample(main, "/jobs/shop", 300, 512).at(102);
    let view = &world.engine.workloads()[0].slots[0];
    assert_eq!(view.slot.to_string(), "cgroup /jobs/shop");
    let run = view.current.as_ref().unwrap();
    assert_eq!((run.processes, run.level), (3, Some(300 * super::MB)));
    // A supervisor outside starts the next life, although a helper of the last one is still there.
    world.at(150).exit(worker, KILLED).exit(main, KILLED).at(160);
    world.start(by_hand(key(20, 160), "/jobs/shop/web")).at(170);
    assert_eq!(world.edges(), ["restart run 2 after terminated"]);
}

#[test]
fn what_a_bare_service_started_is_told_at_the_limit_that_it_shares() {
    let mut world = World::new();
    let (main, helper) = (key(10, 100), key(11, 140));
    let cgroup = "/user.slice/session-1.scope";
    world.start(bare(main, ProcessKey { pid: 9, start: 1 })).at(140);
    world.sample(main, cgroup, 400, 512);
    world.feed(crate::What::Kernel(crate::kernel::KernelEvent::Exec {
        process: helper,
        ppid: 10,
        comm: "tail".into(),
    }));
    world.facts(ProcessFacts {
        parent: main,
        ..other(helper, cgroup)
    });
    world.at(142).mark(helper).exit(helper, KILLED).at(150);
    let Event::OomKill(kill) = &world.findings.last().unwrap().event else {
        panic!("{:?}", world.told())
    };
    assert_eq!((kill.scope, kill.main_process), (OomScope::Pod, false));
    assert_eq!(world.edges(), ["oom_kill Pod main=false others=0"]);
}

#[test]
fn marks_of_strangers_are_counted_and_a_late_one_finds_its_process() {
    let mut world = World::new();
    let (stranger, unknown, pid) = (key(7, 100), key(8, 100), key(10, 100));
    world
        .start(other(stranger, "/elsewhere"))
        .mark(stranger)
        .exit(stranger, KILLED);
    world.mark(unknown);
    // Marked before its exec was known.
    world.mark(pid).start(node(pid, LEAKY)).exit(pid, KILLED).at(200);
    assert_eq!(world.edges(), ["oom_kill Host main=true others=0"]);
    let expected = MarkCounts {
        reported: 1,
        not_killed: 0,
        unwatched: 2,
    };
    assert_eq!(world.engine.counts().oom_marks, expected);
}
