//! What a kubelet does to a pod, and what a node's limit for all pods says of one of them.

use super::{
    CODE_0, KILLED, MB, World, key,
    names::{UID, id, named, pod_cgroup},
    node,
};
use crate::{
    What,
    container_facts::{ContainerFacts, Disruption, PodFacts, Termination},
    finding::{Cause, EndedRun, OomScope},
    sample::{CgroupLevel, Limit, Sample},
};

/// The node's cgroup of all pods, which every kubelet limits.
const PODS: &str = "/kubepods";

fn level(world: &mut World, anon: u64, cgroup: &str, limit: u64) {
    world.feed(What::Sample(Box::new(Sample {
        process: key(10, 100),
        rss: Some((anon + 40) * MB),
        rss_anon: Some(anon * MB),
        cgroup: Some(CgroupLevel {
            usage: (anon + 5) * MB,
            anon: anon * MB,
            limit: Some(Limit {
                bytes: limit * MB,
                cgroup: cgroup.into(),
            }),
            ..CgroupLevel::default()
        }),
        growth: None,
    })));
}

fn running(facts: ContainerFacts) -> World {
    let mut world = World::new();
    world
        .named(facts)
        .start(node(key(10, 100), &pod_cgroup(UID, 1)))
        .at(200);
    world
}

fn ended(world: &World) -> &EndedRun {
    world.ended.last().expect("an ended run")
}

fn with_pod(change: impl FnOnce(&mut PodFacts)) -> ContainerFacts {
    let mut facts = named(1, UID, "1.0.0");
    change(facts.pod.as_mut().unwrap());
    facts
}

#[test]
fn the_nodes_limit_for_all_pods_is_no_limit_of_a_container() {
    let pod = format!("/kubepods/burstable/pod{UID}");
    for (cgroup, own) in [
        (PODS, false),
        ("/kubepods/burstable", false),
        (&pod, true),
        (&pod_cgroup(UID, 1), true),
    ] {
        let mut world = running(named(1, UID, "1.0.0"));
        level(&mut world, 20, cgroup, 24_000);
        let misfit = world.told().iter().any(|line| line.starts_with("misfit"));
        assert_eq!(misfit, own, "{cgroup}: {:?}", world.told());
        let run = world.engine.workloads()[0].slots[0].current.clone().unwrap();
        assert_eq!(run.cgroup_limit, own.then_some(24_000 * MB), "{cgroup}");
        assert!(run.ceiling.is_some(), "a ceiling it is, whoever set it");
    }
}

#[test]
fn a_kill_at_the_limit_of_all_pods_is_not_told_as_the_pods() {
    let mut world = running(named(1, UID, "1.0.0"));
    level(&mut world, 900, PODS, 1_000);
    world.mark(key(10, 100)).exit(key(10, 100), KILLED).at(210);
    assert_eq!(
        world.edges(),
        [format!("oom_kill {:?} main=true others=0", OomScope::Group)]
    );
}

#[test]
fn an_eviction_is_told_whenever_kubernetes_says_so() {
    let evicted = |reason: &str| {
        let disruption = Disruption {
            reason: reason.into(),
            message: "The node was low on resource: memory".into(),
        };
        with_pod(|pod| pod.disruption = Some(disruption))
    };
    for early in [true, false] {
        let mut world = running(named(1, UID, "1.0.0"));
        if early {
            world.named(evicted("TerminationByKubelet"));
        }
        world
            .signal(key(10, 100), 15, 0, true, (7, "runc"))
            .exit(key(10, 100), CODE_0)
            .at(210);
        let mut last = evicted("Evicted");
        last.last_termination = Some(Termination {
            container_id: Some(id(1)),
            reason: Some("Completed".into()),
            ..Termination::default()
        });
        world.named(last).at(300);
        let run = &ended(&world).run;
        assert_eq!(run.cause(), Cause::Evicted, "{run:?}");
        assert!(run.end.because.contains("low on resource: memory"), "{run:?}");
        assert_eq!(run.reported.as_deref(), Some("Completed (0)"));
        let ends = world.engine.workloads()[0].releases[0].ends.clone();
        assert_eq!(ends, [(Cause::Evicted, 1)], "counted once, as what it was");
        assert!(world.edges().is_empty(), "nothing restarted: {:?}", world.edges());
    }
}

/// A sidecar of a finished Job, a container without probes: stopped by the same signals as after failed probes.
#[test]
fn a_container_that_is_stopped_and_not_started_again_failed_no_probes() {
    let mut world = running(named(1, UID, "1.0.0"));
    world
        .signal(key(10, 100), 15, 0, true, (7, "runc"))
        .exit(key(10, 100), CODE_0)
        .at(300)
        .at(400);
    assert_eq!(ended(&world).run.cause(), Cause::Terminated);

    for (probed, limit, cause) in [
        (Some(true), None, "liveness"),
        (Some(false), None, "terminated"),
        (Some(true), Some(600 * MB), "terminated"),
    ] {
        let mut world = running(named(1, UID, "1.0.0"));
        level(&mut world, 20, &pod_cgroup(UID, 1), 512);
        world
            .signal(key(10, 100), 15, 0, true, (7, "runc"))
            .exit(key(10, 100), CODE_0)
            .at(205);
        let again = ContainerFacts {
            probed,
            memory_limit: limit.or(Some(512 * MB)),
            ..named(2, UID, "1.0.0")
        };
        world
            .named(again)
            .start(node(key(11, 205), &pod_cgroup(UID, 2)))
            .at(210);
        assert_eq!(world.edges(), [format!("restart run 2 after {cause}")]);
        let ends = &world.engine.workloads()[0].releases[0].ends;
        assert_eq!(ends[0].0.name(), cause, "counted as what it was: {ends:?}");
    }
}

#[test]
fn a_static_pod_is_named_after_itself_and_has_the_apis_uid() {
    let mut world = running(with_pod(|pod| {
        pod.owners = vec![crate::container_facts::OwnerRef {
            kind: "Node".into(),
            name: "node-1".into(),
            uid: None,
        }];
        pod.api_uid = Some("api".into());
    }));
    world.exit(key(10, 100), KILLED).at(300).at(400);
    let subject = &ended(&world).subject;
    assert_eq!(subject.workload.kind, "Pod");
    assert_eq!(subject.resource["service.name"], "checkout-1.0.0-x");
    assert_eq!(subject.resource["k8s.pod.uid"], "api");
}

/// The engine's files cannot be read any more, and the API is away: runs are numbered on, also when names come at last.
#[test]
fn lives_without_names_are_numbered_on() {
    let mut world = World::new();
    world.named(named(1, UID, "1.0.0"));
    for n in 1..6_u8 {
        let start = 100 + u64::from(n) * 60;
        let pid = key(u32::from(n) + 10, start);
        world.at(start).start(node(pid, &pod_cgroup(UID, n))).at(start + 10);
        if n >= 4 {
            world.named(named(n, UID, "1.0.0"));
        }
        assert_eq!(
            world.engine.subject(pid).map(|subject| subject.run),
            Some(u64::from(n)),
            "named or not"
        );
        world.at(start + 50).mark(pid).exit(pid, KILLED);
    }
    world.at(500);
    let told: Vec<_> = world
        .edges()
        .into_iter()
        .filter(|line| line.starts_with("restart"))
        .collect();
    let expected = [3, 4, 5].map(|run| format!("restart run {run} after kernel_oom"));
    assert_eq!(
        told, expected,
        "the second life was never named: nothing is said of what it follows"
    );
}
