//! Names, versions and rollouts: on bare hosts and in pods, whenever the names arrive.

use std::collections::BTreeMap;

use super::{CODE_0, KILLED, LEAKY, World, key, node};
use crate::{
    What,
    container_facts::{ContainerFacts, OwnerRef, PodFacts},
    finding::Event,
    identity::Slot,
    process::{Package, ProcessFacts},
};

pub(super) const UID: &str = "0f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f";

/// The id of a container, by a digit.
pub(super) fn id(n: u8) -> String {
    n.to_string().repeat(64)
}

pub(super) fn pod_cgroup(uid: &str, n: u8) -> String {
    format!("/kubepods/burstable/pod{uid}/{}", id(n))
}

fn versioned(facts: ProcessFacts, version: &str) -> ProcessFacts {
    let package = Package {
        name: "checkout".into(),
        version: Some(version.into()),
    };
    ProcessFacts {
        package: Some(package),
        ..facts
    }
}

/// What the API server says of a container of a Deployment's pod.
pub(super) fn named(n: u8, uid: &str, version: &str) -> ContainerFacts {
    let owner = |kind: &str, name: &str| OwnerRef {
        kind: kind.into(),
        name: name.into(),
        uid: None,
    };
    ContainerFacts {
        id: id(n),
        name: "api".into(),
        image: Some(format!("shop/checkout:{version}")),
        pod: Some(PodFacts {
            uid: uid.into(),
            name: format!("checkout-{version}-x"),
            namespace: "shop".into(),
            node: "node-1".into(),
            owners: vec![owner("ReplicaSet", "checkout-abc"), owner("Deployment", "checkout")],
            template_hash: Some(format!("hash{version}")),
            ..PodFacts::default()
        }),
        ..ContainerFacts::default()
    }
}

impl World {
    pub(super) fn named(&mut self, facts: ContainerFacts) -> &mut Self {
        self.feed(What::Container(Box::new(facts)));
        self
    }

    /// Resource attributes of the last finding.
    fn resource(&self) -> BTreeMap<String, String> {
        let subject = self.findings.last().and_then(|f| f.subject.clone());
        subject.map(|s| s.resource.clone()).unwrap_or_default()
    }
}

#[test]
fn a_deploy_in_place_is_a_rollout_and_no_crash() {
    let mut world = World::new();
    let (one, two) = (key(10, 100), key(11, 205));
    world
        .start(versioned(node(one, LEAKY), "1.0.0"))
        .at(200)
        .signal(one, 15, 0, true, (7, "runc"));
    world
        .exit(one, CODE_0)
        .at(205)
        .start(versioned(node(two, LEAKY), "1.1.0"))
        .at(210);
    assert_eq!(world.edges(), ["restart run 2 after rollout", "rollout 1.1.0"]);
    let Event::Rollout(rollout) = &world.findings[1].event else {
        panic!("a rollout")
    };
    assert_eq!(
        (rollout.from.as_ref().map(|v| v.0.as_str()), rollout.changed.as_str()),
        (Some("1.0.0"), "version")
    );
    // And back again.
    world.at(300).signal(two, 15, 0, true, (7, "runc")).exit(two, CODE_0);
    world
        .at(310)
        .start(versioned(node(key(12, 310), LEAKY), "1.0.0"))
        .at(320);
    assert_eq!(world.edges()[2..], ["restart run 3 after rollout", "rollout 1.0.0"]);
    let Event::Rollout(rollout) = &world.findings[3].event else {
        panic!("a rollout")
    };
    assert_eq!(rollout.changed, "back to an earlier one: version");
}

/// Killed for memory while a new version is on its way is killed for memory.
#[test]
fn a_death_for_memory_before_a_deploy_is_no_rollout() {
    let mut world = World::new();
    world
        .start(versioned(node(key(10, 100), LEAKY), "1.0.0"))
        .at(200)
        .mark(key(10, 100))
        .exit(key(10, 100), KILLED);
    world
        .at(205)
        .start(versioned(node(key(11, 205), LEAKY), "1.1.0"))
        .at(210);
    assert_eq!(world.edges()[1], "restart run 2 after kernel_oom");
}

#[test]
fn containers_of_a_pod_are_runs_of_one_slot_whenever_the_names_arrive() {
    for late in [false, true] {
        let mut world = World::new();
        for n in 1..4_u8 {
            let start = 100 + u64::from(n) * 60;
            let pid = key(u32::from(n) + 10, start);
            world.at(start);
            if !late {
                world.named(named(n, UID, "1.0.0"));
            }
            world.start(node(pid, &pod_cgroup(UID, n))).at(start + 10);
            if late {
                world.named(named(n, UID, "1.0.0"));
            }
            world.at(start + 50).mark(pid).exit(pid, KILLED);
        }
        world.at(400);
        let restarts: Vec<_> = world
            .edges()
            .into_iter()
            .filter(|line| line.starts_with("restart"))
            .collect();
        assert_eq!(
            restarts,
            ["restart run 2 after kernel_oom", "restart run 3 after kernel_oom"],
            "late: {late}"
        );
        // Restarts are told in the name of what restarted, and not in a name that stood for it until then.
        for finding in world.findings.iter().filter(|f| matches!(f.event, Event::Restart(_))) {
            let subject = finding.subject.as_ref().expect("a subject");
            assert_eq!(subject.service(), "checkout", "late: {late}");
            assert!(subject.resource.contains_key("k8s.pod.name"), "late: {late}");
        }
        let subject = world
            .findings
            .last()
            .and_then(|f| f.subject.clone())
            .expect("a subject");
        let container = "api".to_owned();
        assert_eq!(
            subject.slot,
            Slot::Pod {
                uid: UID.into(),
                container
            }
        );
        let resource = world.resource();
        for (name, value) in [
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("service.version", "1.0.0"),
            ("service.instance.id", "shop.checkout-1.0.0-x.api"),
            ("k8s.deployment.name", "checkout"),
            ("k8s.container.name", "api"),
            ("container.image.name", "shop/checkout"),
        ] {
            assert_eq!(resource.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(resource.get("container.id"), Some(&id(3)));
    }
}

/// People may not know that their labels name their services: only where the operator says so, and after annotations.
#[test]
fn labels_name_a_service_only_where_they_may() {
    let label = |name: &str, value: &str| (format!("app.kubernetes.io/{name}"), value.to_owned());
    for (allowed, annotated, expected) in [
        (false, false, "checkout"),
        (true, false, "checkout-eu"),
        (true, true, "cart"),
        (false, true, "cart"),
    ] {
        let mut world = World::new();
        world.engine.settings.service_labels = allowed;
        let mut facts = named(1, UID, "1.0.0");
        let pod = facts.pod.as_mut().expect("a pod");
        pod.labels = BTreeMap::from([label("name", "checkout-name"), label("instance", "checkout-eu")]);
        if annotated {
            let annotation = ("resource.opentelemetry.io/service.name".to_owned(), "cart".to_owned());
            pod.annotations = BTreeMap::from([annotation]);
        }
        let pid = key(10, 100);
        world.named(facts).start(node(pid, &pod_cgroup(UID, 1))).at(150);
        let subject = world.engine.subject(pid).expect("a subject");
        assert_eq!(
            subject.service(),
            expected,
            "allowed: {allowed}, annotated: {annotated}"
        );
        assert_eq!(subject.workload.name, "checkout", "what is deployed is the owner's");
    }
}

/// Without the API the program's name stands for the container's, so that its runs are still known as one slot's.
#[test]
fn a_pod_without_names_still_has_a_sawtooth() {
    let mut world = World::new();
    for n in 1..3_u8 {
        let start = 100 + u64::from(n) * 60;
        let pid = key(u32::from(n) + 10, start);
        world
            .at(start)
            .start(node(pid, &pod_cgroup(UID, n)))
            .at(start + 50)
            .mark(pid)
            .exit(pid, KILLED);
    }
    world.at(400);
    assert_eq!(world.edges()[1], "restart run 2 after kernel_oom");
    assert_eq!(world.resource().get("k8s.pod.uid").map(String::as_str), Some(UID));
}

#[test]
fn the_names_of_a_deleted_pod_are_not_given_to_its_successor() {
    let mut world = World::new();
    let other = "11111111-1b3a-4c6d-8e7f-9a0b1c2d3e4f";
    world
        .named(named(1, UID, "1.0.0"))
        .start(node(key(10, 100), &pod_cgroup(UID, 1)))
        .at(150);
    world
        .named(ContainerFacts {
            deleted: true,
            ..named(1, UID, "1.0.0")
        })
        .exit(key(10, 100), CODE_0)
        .at(160);
    world
        .start(node(key(11, 160), &pod_cgroup(other, 2)))
        .at(170)
        .mark(key(11, 160))
        .exit(key(11, 160), KILLED)
        .at(180);
    let resource = world.resource();
    assert_eq!(resource.get("k8s.pod.uid").map(String::as_str), Some(other));
    assert_eq!(resource.get("k8s.pod.name"), None);
    assert_eq!(resource.get("k8s.deployment.name"), None);
}

#[test]
fn a_rolling_update_is_one_rollout_and_the_old_pods_end_is_part_of_it() {
    let mut world = World::new();
    let uids: Vec<String> = (0..4).map(|n| format!("{n}{}", &UID[1..])).collect();
    for (n, uid) in uids.iter().enumerate().take(2) {
        let n = n as u8;
        world
            .named(named(n, uid, "1.0.0"))
            .start(node(key(10 + u32::from(n), 100), &pod_cgroup(uid, n)));
    }
    world.at(200);
    for n in 0..2_u8 {
        let (new, old) = (key(20 + u32::from(n), 200), key(10 + u32::from(n), 100));
        let uid = &uids[usize::from(n) + 2];
        world
            .named(named(n + 2, uid, "1.1.0"))
            .start(node(new, &pod_cgroup(uid, n + 2)));
        let mut leaving = named(n, &uids[usize::from(n)], "1.0.0");
        leaving.pod.as_mut().expect("a pod").terminating = true;
        world
            .named(leaving)
            .signal(old, 15, 0, true, (7, "runc"))
            .exit(old, CODE_0);
    }
    world.at(300);
    assert_eq!(world.edges(), ["rollout 1.1.0"]);
    let view = world.engine.workloads();
    let checkout = view.iter().find(|w| w.service == "checkout").expect("the workload");
    let old = &checkout.releases[0];
    assert_eq!(
        (old.runs, old.live, old.ends.clone()),
        (2, 0, vec![(crate::exit::Cause::Rollout, 2)])
    );
    assert_eq!(checkout.releases[1].live, 2);
}

/// Two versions alive: replacing a pod of the old one is no rollback.
#[test]
fn a_canary_is_one_rollout() {
    let mut world = World::new();
    let uid = |n: u8| format!("{n}{}", &UID[1..]);
    let live = |world: &mut World, n: u8, second: u64, version: &str| {
        let pid = key(10 + u32::from(n), second);
        world
            .at(second)
            .named(named(n, &uid(n), version))
            .start(node(pid, &pod_cgroup(&uid(n), n)));
        pid
    };
    let stable = live(&mut world, 0, 100, "1.0.0");
    live(&mut world, 1, 200, "1.1.0");
    world.at(300).exit(stable, CODE_0);
    live(&mut world, 2, 305, "1.0.0");
    live(&mut world, 3, 400, "1.1.0");
    assert_eq!(world.edges(), ["rollout 1.1.0"]);
}

#[test]
fn a_container_stopped_by_the_kubelet_while_its_pod_stays_has_failed_its_probes() {
    let mut world = World::new();
    let pid = key(10, 100);
    world
        .named(named(1, UID, "1.0.0"))
        .start(node(pid, &pod_cgroup(UID, 1)))
        .at(200);
    world
        .signal(pid, 15, 0, true, (7, "containerd-shim"))
        .exit(pid, CODE_0)
        .at(205);
    world
        .named(named(2, UID, "1.0.0"))
        .start(node(key(11, 205), &pod_cgroup(UID, 2)))
        .at(210);
    assert_eq!(world.edges(), ["restart run 2 after liveness"]);
}

/// The engine has been blind to the old container's end; its slot lives once.
#[test]
fn a_second_life_of_a_named_container_ends_the_first() {
    let mut world = World::new();
    world
        .named(named(1, UID, "1.0.0"))
        .start(node(key(10, 100), &pod_cgroup(UID, 1)))
        .at(200);
    world
        .named(named(2, UID, "1.0.0"))
        .start(node(key(11, 200), &pod_cgroup(UID, 2)))
        .at(205)
        .at(220);
    assert_eq!(world.edges(), ["restart run 2 after unknown"]);
}

#[test]
fn a_leak_names_the_version_that_brought_it_and_the_one_that_did_not_have_it() {
    let mut world = World::new();
    let hour = 3_600;
    let mut now = 100;
    let mut live = |world: &mut World, pid: u32, version: &str, minutes: u64, grows: bool| {
        let pid = key(pid, now);
        world.at(now).start(versioned(node(pid, LEAKY), version));
        for minute in 1..=minutes {
            let level = if grows {
                60 + minute * 400 / minutes
            } else {
                60 + minute % 3
            };
            world.at(now + minute * 60).sample(pid, LEAKY, level, 1_024);
        }
        now += minutes * 60;
        world.at(now);
        pid
    };
    let clean = live(&mut world, 10, "1.41.3", 12 * 60, false);
    world.signal(clean, 15, 0, true, (7, "bash")).exit(clean, CODE_0);
    for pid in 11..14 {
        let leaking = live(&mut world, pid, "1.42.0", 6 * 60, true);
        world.mark(leaking).exit(leaking, KILLED);
    }
    world.at(100 + 48 * hour);
    let confirmed = world.findings.iter().find_map(|f| match &f.event {
        Event::Leak(verdict) if verdict.state == crate::detect::State::Confirmed => Some((f, verdict)),
        _ => None,
    });
    let (finding, verdict) = confirmed.expect("confirmed");
    let blame = verdict.blame.clone().expect("a blame");
    assert_eq!(blame.introduced_by.map(|v| v.0).as_deref(), Some("1.42.0"));
    assert_eq!(blame.last_clean.map(|v| v.0).as_deref(), Some("1.41.3"));
    let body = crate::telemetry::event(finding).body;
    assert!(body.contains("since version 1.42.0, 1.41.3 did not"), "{body}");
}
