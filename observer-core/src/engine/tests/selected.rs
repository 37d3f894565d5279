//! Pods left out: nothing is said, watched or shown of them, whenever their names arrive.

use super::{
    names::{UID, named, pod_cgroup},
    *,
};
use crate::{container_facts::ContainerFacts, selection::ANNOTATION};

fn annotated(facts: ContainerFacts, value: &str) -> ContainerFacts {
    let mut facts = facts;
    if let Some(pod) = &mut facts.pod {
        pod.annotations.insert(ANNOTATION.into(), value.into());
    }
    facts
}

fn excluding(namespace: &str) -> World {
    let mut world = World::new();
    world.engine.settings.pods.exclude_namespaces = vec![namespace.into()];
    world
}

/// Two lives in one pod: the first grows to its limit and is killed there.
fn lives(world: &mut World, facts: &ContainerFacts) {
    let cgroup = pod_cgroup(UID, 1);
    let (one, two) = (key(10, 101), key(11, 305));
    world.at(101).start(node(one, &cgroup)).named(facts.clone());
    for second in 102..300 {
        world.at(second).sample(one, &cgroup, second * 2, 600);
    }
    world.at(300).mark(one).exit(one, KILLED);
    let mut next = named(2, UID, "1.0.0");
    next.pod.clone_from(&facts.pod);
    world.at(305).start(node(two, &pod_cgroup(UID, 2))).named(next).at(320);
}

#[test]
fn nothing_is_said_or_shown_of_a_pod_that_is_left_out() {
    let mut observed = World::new();
    lives(&mut observed, &named(1, UID, "1.0.0"));
    assert!(
        observed.edges().iter().any(|line| line.starts_with("oom_kill")),
        "{:?}",
        observed.edges()
    );
    assert!(
        observed.edges().iter().any(|line| line.starts_with("restart")),
        "{:?}",
        observed.edges()
    );
    assert_eq!(observed.engine.workloads().len(), 1);

    let mut world = excluding("shop");
    lives(&mut world, &named(1, UID, "1.0.0"));
    assert_eq!(world.told(), Vec::<String>::new());
    assert!(world.engine.workloads().is_empty());
    assert_eq!(
        (world.engine.counts().containers, world.engine.counts().left_out),
        (0, 1)
    );
    assert!(
        !world
            .requests
            .iter()
            .any(|r| matches!(r, Request::Watch { .. } | Request::Trace { .. }))
    );

    let mut refused = World::new();
    lives(&mut refused, &annotated(named(1, UID, "1.0.0"), "false"));
    // Until its name was known it was watched, and nothing had happened yet.
    assert_eq!(refused.told(), Vec::<String>::new());
    assert!(refused.engine.workloads().is_empty());
}

#[test]
fn a_pod_whose_name_is_not_known_yet_waits_where_there_are_rules() {
    let mut world = excluding("bank");
    let (process, cgroup) = (key(10, 101), pod_cgroup(UID, 1));
    world.at(101).start(node(process, &cgroup));
    let watched = |world: &World| {
        let watches = |r: &&Request| matches!(r, Request::Watch { process: watched, .. } if *watched == process);
        world.requests.iter().filter(watches).count()
    };
    assert_eq!((watched(&world), world.engine.workloads().len()), (0, 0));
    world.at(110).named(named(1, UID, "1.0.0"));
    assert_eq!((watched(&world), world.engine.workloads().len()), (1, 1));
    assert_eq!(world.engine.counts().left_out, 0);
}

#[test]
fn an_annotation_that_changes_is_followed_both_ways() {
    let mut world = World::new();
    let (process, cgroup) = (key(10, 101), pod_cgroup(UID, 1));
    world
        .at(101)
        .start(node(process, &cgroup))
        .named(named(1, UID, "1.0.0"));
    assert_eq!(world.engine.workloads().len(), 1);
    world.at(110).named(annotated(named(1, UID, "1.0.0"), "false"));
    assert!(
        world
            .requests
            .iter()
            .any(|r| matches!(r, Request::Unwatch(key) if *key == process))
    );
    assert!(world.engine.workloads().is_empty());
    world.at(120).mark(process);
    world.at(121).named(annotated(named(1, UID, "1.0.0"), "true"));
    assert_eq!(world.engine.workloads()[0].slots.len(), 1);
    world.at(130).exit(process, KILLED).at(140);
    assert_eq!(world.edges().len(), 1, "{:?}", world.edges());
}

#[test]
fn of_replicas_only_those_that_are_observed_are_shown() {
    let mut world = World::new();
    let other = "1f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f";
    world
        .at(101)
        .start(node(key(10, 101), &pod_cgroup(UID, 1)))
        .named(named(1, UID, "1.0.0"));
    world
        .start(node(key(11, 101), &pod_cgroup(other, 2)))
        .named(annotated(named(2, other, "1.0.0"), "false"));
    let workloads = world.engine.workloads();
    let slots: Vec<usize> = workloads.iter().map(|workload| workload.slots.len()).collect();
    assert_eq!(slots, [1]);
    assert_eq!(workloads[0].releases[0].live, 1);
}

#[test]
fn what_runs_outside_of_pods_is_observed_whatever_the_rules_say() {
    let mut world = World::new();
    world.engine.settings.pods.include_namespaces = vec!["shop".into()];
    world.engine.settings.pods.annotated_only = true;
    world.at(101).start(node(key(10, 101), LEAKY));
    assert_eq!(world.engine.workloads().len(), 1);
    assert_eq!(world.engine.counts().left_out, 0);
}

#[test]
fn rules_that_changed_while_the_agent_was_away_hold_from_its_start() {
    let mut before = World::new();
    let (process, cgroup) = (key(10, 101), pod_cgroup(UID, 1));
    before
        .at(101)
        .start(node(process, &cgroup))
        .named(named(1, UID, "1.0.0"));
    let mut after = excluding("shop");
    after.at(200).feed(What::Restore(Box::new(before.engine)));
    assert!(after.engine.workloads().is_empty());
    assert_eq!(after.engine.counts().left_out, 1);
    assert!(
        after
            .requests
            .iter()
            .any(|r| matches!(r, Request::Unwatch(key) if *key == process))
    );
}
