//! The agent put away and started again, and hosts with more on them than is kept.

use super::{Engine, KILLED, LEAKY, World, key, node};
use crate::{
    Request, What,
    finding::Event,
    process::ProcessFacts,
    time::{Anchor, BootTime, SECOND, WallTime},
};

impl World {
    /// The agent ends and another begins with its state, at this second.
    fn restarted(&mut self, second: u64, boot_id: &str) -> &mut Self {
        self.restarted_at(second, boot_id, second)
    }

    /// The same, when the wall clock has gone on by so many seconds since that of the first boot began.
    fn restarted_at(&mut self, second: u64, boot_id: &str, wall: u64) -> &mut Self {
        self.feed(What::End);
        let state = serde_json::to_string(&self.engine).expect("an engine is JSON");
        let state = serde_json::from_str::<Engine>(&state).expect("and can be read back");
        assert_eq!(state, self.engine);
        self.engine = Engine::new();
        self.requests.clear();
        self.now = BootTime(second * SECOND);
        let mut first = self.inputs[0].what.clone();
        if let What::Begin(begin) = &mut first {
            begin.boot_id = boot_id.into();
            begin.clock = Anchor {
                boot: self.now,
                wall: WallTime(begin.clock.wall.0 + wall * SECOND),
            };
        }
        self.feed(first);
        self.feed(What::Restore(Box::new(state)));
        self
    }
}

#[test]
fn a_run_goes_on_over_the_agents_own_restart() {
    let mut world = World::new();
    let pid = key(10, 100);
    world.start(node(pid, LEAKY)).at(200).restarted(300, "boot");
    assert!(world.requests.contains(&Request::Watch {
        process: pid,
        cgroup: LEAKY.into()
    }));
    assert!(world.requests.contains(&Request::Inspect(pid)));
    world
        .facts(node(pid, LEAKY))
        .at(400)
        .mark(pid)
        .exit(pid, KILLED)
        .at(410);
    world.start(node(key(11, 410), LEAKY)).at(420);
    assert_eq!(
        world.edges(),
        [
            "gap the agent was not running",
            "oom_kill Host main=true others=0",
            "restart run 2 after kernel_oom"
        ]
    );
}

/// What happened in between is told as counted, not as seen.
#[test]
fn a_kill_while_the_agent_was_away_is_known_by_its_counter() {
    let mut world = World::new();
    let pid = key(10, 100);
    world
        .start(node(pid, LEAKY))
        .sample(pid, LEAKY, 300, 512)
        .at(200)
        .restarted(300, "boot");
    world.feed(What::OomKills {
        cgroup: LEAKY.into(),
        count: 1,
    });
    world.feed(What::Vanished(pid));
    world.at(310).start(node(key(11, 250), LEAKY)).at(320);
    assert_eq!(
        world.edges()[1..],
        [
            "oom_kill Container main=true others=0",
            "restart run 2 after kernel_oom"
        ]
    );
    let ends = world
        .findings
        .iter()
        .filter(|f| matches!(f.event.kind(), "oom_kill" | "restart"));
    assert!(
        ends.map(|f| f.confidence)
            .all(|c| c == crate::finding::Confidence::Inferred)
    );
}

/// Killed before its state was put away: the next agent learns of the same end and the same beginning in its own way.
#[test]
fn what_was_told_after_the_state_was_put_away_is_not_told_again() {
    let (one, two) = (key(10, 100), key(11, 205));
    for knows in [true, false] {
        let mut world = World::new();
        world.start(node(one, LEAKY)).sample(one, LEAKY, 300, 512).at(200);
        let mut state = world.engine.clone();
        // Something else is found, by which the next finding is another one's successor.
        world.sample(one, LEAKY, 500, 512).at(203);
        world
            .mark(one)
            .exit(one, KILLED)
            .at(205)
            .start(node(two, LEAKY))
            .at(210);
        let told = [
            "oom_kill Container main=true others=0",
            "restart run 2 after kernel_oom",
        ];
        let said = |world: &World| {
            let mut edges = world.edges();
            edges.retain(|edge| told.iter().any(|told| edge.contains(told)));
            edges.len()
        };
        assert_eq!((said(&world), world.ended.len()), (2, 1), "{:?}", world.edges());
        if knows {
            let findings = world.findings.iter().map(|finding| finding.id.clone());
            state.told(findings.chain(world.ended.iter().map(|run| run.id.clone())));
        }
        world.engine = state;
        world.restarted(300, "boot");
        world.feed(What::OomKills {
            cgroup: LEAKY.into(),
            count: 1,
        });
        world.feed(What::Vanished(one));
        world.at(310).facts(node(two, LEAKY)).at(400);
        let times = if knows { (2, 1) } else { (4, 2) };
        assert_eq!((said(&world), world.ended.len()), times, "{:?}", world.edges());
        assert_eq!(world.engine.subject(two).map(|subject| subject.run), Some(2));
        if !knows {
            // A receiver can tell that they are the same.
            let ids = |kind: &str| -> std::collections::BTreeSet<&str> {
                let of_kind = world.findings.iter().filter(|f| f.event.kind() == kind);
                of_kind.map(|f| f.id.as_str()).collect()
            };
            assert_eq!((ids("oom_kill").len(), ids("restart").len()), (1, 1));
        }
    }
}

#[test]
fn nobody_lives_on_over_a_boot() {
    let mut world = World::new();
    world
        .start(node(key(10, 100), LEAKY))
        .at(5_000)
        .restarted_at(20, "another", 5_042);
    world.start(node(key(10, 20), LEAKY)).at(30);
    assert_eq!(world.edges().len(), 1, "{:?}", world.edges());
    assert!(world.edges()[0].starts_with("gap the host was restarted"));
    let Event::Gap(gap) = &world.findings[0].event else {
        panic!("{:?}", world.findings)
    };
    assert_eq!(gap.lasted(), 42 * SECOND, "by the wall clock");
    assert_eq!(world.engine.counts().containers, 1);
}

/// 10,000 pods come and go on one node, 1,000 at once.
#[test]
fn memory_is_bounded_under_many_pods() {
    let mut world = World::new();
    let uid = |n: u64| format!("{n:08x}-1b3a-4c6d-8e7f-9a0b1c2d3e4f");
    let cgroup = |n: u64| format!("/kubepods/pod{}/{n:064x}", uid(n));
    let facts = |n: u64| ProcessFacts {
        ..node(key(n as u32 + 10, 100 + n / 10), &cgroup(n))
    };
    let mut size_at_half = 0;
    for n in 0..10_000_u64 {
        world.now = crate::time::BootTime((100 + n / 10) * crate::time::SECOND);
        world.inputs.clear();
        world.requests.clear();
        world.findings.clear();
        let mut named = super::names::named(0, &uid(n), &(n / 1_000).to_string());
        named.id = format!("{n:064x}");
        world.feed(What::Container(Box::new(named.clone())));
        world.start(facts(n));
        if n >= 1_000 {
            let old = n - 1_000;
            world.exit(facts(old).key, super::CODE_0);
            named.id = format!("{old:064x}");
            named.deleted = true;
            world.feed(What::Container(Box::new(named)));
        }
        if n == 5_000 {
            size_at_half = serde_json::to_string(&world.engine).expect("an engine is JSON").len();
        }
    }
    let counts = world.engine.counts();
    assert!(counts.slots <= 2_048, "{counts:?}");
    assert!(counts.containers <= 1_100, "{counts:?}");
    assert_eq!(
        counts.evictions.slots,
        10_000 - counts.slots as u64,
        "what is forgotten is counted"
    );
    let size = serde_json::to_string(&world.engine).expect("an engine is JSON").len();
    assert!(size < size_at_half + size_at_half / 10, "{size} after {size_at_half}");
}

#[test]
fn what_kubernetes_says_stands_beside_the_verdict() {
    use crate::container_facts::Termination;
    let mut world = World::new();
    let uid = "0f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f";
    let (one, two) = (key(10, 100), key(11, 205));
    let first = super::names::named(1, uid, "1.0.0");
    let mut second = super::names::named(2, uid, "1.0.0");
    second.last_termination = Some(Termination {
        container_id: Some(first.id.clone()),
        reason: Some("Error".into()),
        exit_code: 137,
        ..Termination::default()
    });
    world.feed(What::Container(Box::new(first)));
    world
        .start(node(one, &super::names::pod_cgroup(uid, 1)))
        .at(200)
        .mark(one)
        .exit(one, KILLED)
        .at(205);
    world.feed(What::Container(Box::new(second)));
    world.start(node(two, &super::names::pod_cgroup(uid, 2))).at(210);
    let crate::finding::Event::Restart(restart) = &world.findings.last().expect("a restart").event else {
        panic!("a restart")
    };
    assert_eq!(restart.previous.cause(), crate::exit::Cause::KernelOom);
    assert_eq!(restart.previous.reported.as_deref(), Some("Error (137)"));
}
