//! What a process says of the place it runs in.

use super::{
    KILLED, LEAKY, World, key,
    names::{UID, id, named, pod_cgroup},
    node,
};
use crate::{
    Request, What,
    process::{ProcessFacts, PublishedResource},
};

/// Whoever says so, and whether or not the truth is known: nobody takes another's place.
#[test]
fn a_process_cannot_claim_to_be_another_pod() {
    let claims = "k8s.pod.name=victim,k8s.pod.uid=u,k8s.namespace.name=prod,container.id=c,host.name=h,process.pid=1,\
                  process.runtime.name=ruby,systemd.unit.name=victim.service,k8s.cluster.name=eu,\
                  service.namespace=team,deployment.environment.name=test,shop.tier=gold";
    let claimed = |facts: ProcessFacts| ProcessFacts {
        otel: [("OTEL_RESOURCE_ATTRIBUTES".to_owned(), claims.to_owned())].into(),
        ..facts
    };
    let bare = ProcessFacts {
        containerised: false,
        ..node(key(10, 100), "/user.slice/session-1.scope")
    };
    for facts in [bare, node(key(10, 100), LEAKY), node(key(10, 100), &pod_cgroup(UID, 1))] {
        let mut world = World::new();
        let mut names = named(1, UID, "1.0.0");
        let pod = names.pod.as_mut().unwrap();
        pod.annotations
            .insert("resource.opentelemetry.io/k8s.pod.name".into(), "other".into());
        world.named(names).start(claimed(facts.clone())).at(150);
        world.mark(facts.key).exit(facts.key, KILLED).at(160);
        let finding = world.findings.last().unwrap();
        let subject = finding.subject.as_ref().unwrap();
        let own = |name: &str| subject.resource.get(name).map(String::as_str);
        assert_eq!(own("host.name"), Some("host"));
        assert_eq!(own("process.runtime.name"), Some("nodejs"));
        assert_eq!((own("process.pid"), own("systemd.unit.name")), (None, None));
        for (name, value) in [
            ("service.namespace", "team"),
            ("deployment.environment.name", "test"),
            ("shop.tier", "gold"),
            ("k8s.cluster.name", "eu"),
        ] {
            assert_eq!(own(name), Some(value), "its own");
        }
        let in_pod = facts.cgroup.contains(UID);
        assert_eq!(own("k8s.pod.name"), in_pod.then_some("checkout-1.0.0-x"));
        assert_eq!(own("k8s.pod.uid"), in_pod.then_some(UID));
        assert_ne!(own("container.id"), Some("c"));
        // Told where they differ.
        assert_eq!(subject.refused.get("k8s.pod.name").map(String::as_str), Some("victim"));
        let told = crate::telemetry::event(finding).attributes;
        let refused = told
            .iter()
            .find(|(name, _)| *name == "observer.identity.refused")
            .unwrap();
        assert!(
            format!("{refused:?}").contains("host.name=h (it is host)"),
            "{refused:?}"
        );
    }
    // What agrees with what is known is no claim.
    let mut world = World::new();
    let agrees = ProcessFacts {
        otel: [("OTEL_RESOURCE_ATTRIBUTES".to_owned(), format!("k8s.pod.uid={UID}"))].into(),
        ..node(key(10, 100), &pod_cgroup(UID, 1))
    };
    world
        .start(agrees)
        .at(150)
        .mark(key(10, 100))
        .exit(key(10, 100), KILLED)
        .at(160);
    assert!(
        world
            .findings
            .last()
            .unwrap()
            .subject
            .as_ref()
            .unwrap()
            .refused
            .is_empty()
    );
}

/// Below a container's own cgroup anything may be called anything: what dies in there is the container's, and nobody's else.
#[test]
fn a_cgroup_named_after_another_container_is_nobodys_but_its_own() {
    const OTHER: &str = "1f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f";
    let own = pod_cgroup(OTHER, 2);
    let victim = pod_cgroup(UID, 1);
    for (claimed, victim_lives) in [
        (format!("{own}/{}", id(1)), true),
        (format!("{own}/{}/x", id(1)), true),
        (format!("{own}{victim}"), true),
        // Known by its names alone, it is a pod's, and this path shows none around it.
        (format!("{own}/{}", id(1)), false),
    ] {
        let mut world = World::new();
        world.named(named(1, UID, "1.0.0")).named(named(2, OTHER, "2.0.0"));
        if victim_lives {
            world.start(node(key(10, 100), &victim));
        }
        world.start(node(key(20, 100), &own));
        let impostor = ProcessFacts {
            ns_pid: 7,
            parent: key(20, 100),
            ..node(key(21, 110), &claimed)
        };
        world.at(110).start(impostor).at(150);
        world.mark(key(21, 110)).exit(key(21, 110), KILLED).at(160);
        let kills = world.findings.iter().filter(|f| f.event.kind() == "oom_kill");
        let pods: Vec<_> = kills
            .map(|kill| kill.subject.as_ref().unwrap().resource["k8s.pod.name"].as_str())
            .collect();
        assert_eq!(pods, ["checkout-2.0.0-x"], "{claimed}: {:?}", world.edges());
        assert!(world.ended.is_empty(), "{claimed}: {:?}", world.edges());
    }
}

/// What the SDK publishes is what a backend has of the application's own telemetry: it wins over the environment, is asked
/// for again, and is not believed about the place.
#[test]
fn the_published_resource_is_the_runs_identity_once_it_is_read() {
    let mut world = World::new();
    let pid = key(10, 100);
    let facts = ProcessFacts {
        otel: [("OTEL_SERVICE_NAME".to_owned(), "env".to_owned())].into(),
        ..node(pid, LEAKY)
    };
    world.start(facts.clone()).at(101).sample(pid, LEAKY, 100, 512);
    let asked = |world: &World| {
        let asked = world
            .requests
            .iter()
            .filter(|request| **request == Request::ReadResource(pid));
        asked.count()
    };
    assert_eq!(asked(&world), 1);
    world.at(105).sample(pid, LEAKY, 100, 512);
    assert_eq!(asked(&world), 1, "not with every sample");
    let publish = |world: &mut World, pairs: &[(&str, &str)]| {
        let attributes = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        world.feed(What::Resource(Box::new(PublishedResource {
            process: pid,
            attributes: attributes.collect(),
            cgroup: LEAKY.into(),
            limit_cgroup: None,
        })));
    };
    publish(
        &mut world,
        &[
            ("service.name", "shop"),
            ("service.version", "2.0.0"),
            ("service.instance.id", "i-1"),
            ("k8s.pod.name", "victim"),
        ],
    );
    world.at(112).sample(pid, LEAKY, 100, 512);
    assert_eq!(asked(&world), 2);
    publish(
        &mut world,
        &[
            ("service.name", "shop"),
            ("service.version", "2.0.0"),
            ("service.instance.id", "i-2"),
        ],
    );
    // An inspection, for whatever reason, does not take it away.
    world.facts(facts);
    world.at(150).mark(pid).exit(pid, KILLED).at(160);
    assert_eq!(world.edges(), ["oom_kill Container main=true others=0"]);
    let subject = world.findings.last().unwrap().subject.clone().unwrap();
    let own = |name: &str| subject.resource.get(name).map(String::as_str);
    assert_eq!((subject.service(), own("service.instance.id")), ("shop", Some("i-2")));
    assert_eq!((own("service.version"), own("k8s.pod.name")), (Some("2.0.0"), None));
    assert!(world.engine.workloads()[0].is_called("shop"));
    // A service without a name is not called so by its SDK's excuse for one.
    let mut world = World::new();
    world.start(node(pid, LEAKY));
    publish(
        &mut world,
        &[("service.name", "unknown_service:node"), ("service.instance.id", "i-3")],
    );
    world.at(150).mark(pid).exit(pid, KILLED).at(160);
    assert_eq!(
        world.findings.last().unwrap().subject.as_ref().unwrap().service(),
        "leaky"
    );
}
