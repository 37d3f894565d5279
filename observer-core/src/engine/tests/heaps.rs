//! Readings of heaps: asked for where the operator opted in and growth is suspected, stated, and attached to what is said
//! of the leak.

use super::*;
use crate::{
    heap::{Compared, Diagnosis, Grower, HeapAnswer, Outcome},
    input::Request,
};

fn answer(process: ProcessKey, outcome: Outcome) -> What {
    What::Heap(Box::new(HeapAnswer {
        process,
        took_ns: SECOND / 10,
        bytes: 40 * MB,
        contents: None,
        outcome,
    }))
}

fn diagnosis() -> Diagnosis {
    Diagnosis {
        compared: Compared::Times(600.0),
        growers: vec![Grower {
            what: "onUserMessage()".into(),
            place: Some("/app/server.js:42".into()),
            count: (8432, 16891),
            bytes: 541_376,
            held_by: vec![
                "bus in /app/server.js".into(),
                "EventEmitter._events".into(),
                "Object.message".into(),
            ],
            culprit: true,
            retained: Some(12 * MB),
            share: Some(0.93),
        }],
        grown: 1_000_000,
        explained: 0.71,
        exact: true,
        readings: 2,
        container: None,
        memory: None,
    }
}

#[test]
fn heaps_are_opted_in_by_name_by_namespace_or_all() {
    let workload = |namespace: &str, name: &str| crate::identity::Workload {
        namespace: Some(namespace.to_owned()),
        kind: "Deployment".into(),
        name: name.into(),
        container: None,
    };
    for (opted_in, namespace, name, service, read) in [
        ("checkout", "shop", "checkout", "checkout", true),
        ("till", "shop", "checkout", "till", true),
        ("shop/checkout", "shop", "checkout", "till", true),
        ("shop/checkout", "bank", "checkout", "checkout", false),
        ("shop/*", "shop", "checkout", "checkout", true),
        ("shop/*", "shopping", "checkout", "checkout", false),
        ("*", "bank", "any", "any", true),
        ("shop", "shop", "checkout", "checkout", false),
    ] {
        let settings = crate::heap::HeapSettings {
            workloads: vec![opted_in.into()],
            ..Default::default()
        };
        assert_eq!(
            settings.names(&workload(namespace, name), service),
            read,
            "{opted_in} {namespace}/{name}"
        );
    }
    // Who belongs to no namespace is not in one.
    let bare = crate::identity::Workload {
        namespace: None,
        ..workload("", "checkout")
    };
    let settings = crate::heap::HeapSettings {
        workloads: vec!["shop/*".into()],
        ..Default::default()
    };
    assert!(!settings.names(&bare, "checkout"));
}

/// A service that leaks until it is killed, three times; its heap is answered as it is asked for.
fn story(opted_in: bool) -> World {
    let mut world = World::new();
    if opted_in {
        world.engine.settings.heap.workloads = vec!["leaky".into()];
        world.engine.settings.heap.interval_s = 300.0;
    }
    for life in 0..3_u64 {
        let pid = key(10 + life as u32, 100 + life * 3_600);
        world.at(100 + life * 3_600).start(node(pid, LEAKY));
        for step in 1..60 {
            let before = world.requests.len();
            world
                .at(100 + life * 3_600 + step * 60)
                .sample(pid, LEAKY, 60 + step * 7, 512);
            let asked: Vec<_> = world.requests[before..].to_vec();
            for request in asked {
                if let Request::ReadHeap(wish) = request {
                    let outcome = if wish.compare {
                        Outcome::Compared(Box::new(diagnosis()))
                    } else {
                        Outcome::First {
                            held: 1,
                            newcomers: None,
                        }
                    };
                    world.feed(answer(wish.process, outcome));
                }
            }
        }
        world.mark(pid).exit(pid, KILLED);
    }
    world.at(20_000);
    world
}

#[test]
fn nobody_s_heap_is_read_without_consent() {
    let world = story(false);
    assert!(!world.requests.iter().any(|r| matches!(r, Request::ReadHeap(_))));
}

#[test]
fn a_leak_is_named_in_the_diagnosis_and_in_what_is_said_of_it() {
    let world = story(true);
    let told: Vec<String> = world
        .findings
        .iter()
        .filter(|finding| matches!(finding.event, Event::Diagnosis(_)))
        .map(|finding| crate::telemetry::event(finding).body)
        .collect();
    assert!(told[0].contains(
        "onUserMessage() (/app/server.js:42): 8432 -> 16891, held by bus in /app/server.js -> EventEmitter._events -> Object.message"
    ));
    let confirmed = world.findings.iter().find_map(|finding| match &finding.event {
        Event::Leak(verdict) if verdict.state == crate::detect::State::Confirmed => Some((verdict, finding)),
        _ => None,
    });
    let (verdict, finding) = confirmed.unwrap();
    assert_eq!(verdict.diagnosis.as_deref(), Some(&diagnosis()));
    assert!(
        crate::telemetry::event(finding)
            .body
            .contains("what grows: onUserMessage()")
    );
    // Each reading is an event of its own.
    let asked = world
        .requests
        .iter()
        .filter(|r| matches!(r, Request::ReadHeap(_)))
        .count();
    let read = world
        .findings
        .iter()
        .filter(|f| matches!(f.event, Event::HeapRead(_)))
        .count();
    assert_eq!((asked > 1, read), (true, asked));
    // What arrived as an Input is all a replay needs.
    let replayed: Vec<Finding> = {
        let mut engine = Engine::new();
        let mut inputs = world.inputs.clone();
        if let What::Begin(begin) = &mut inputs[0].what {
            begin.settings = world.engine.settings.clone();
        }
        inputs.iter().flat_map(|input| engine.step(input).findings).collect()
    };
    assert_eq!(replayed, world.findings);
}

/// A tmpfs that fills: the place is said, and no heap is asked for what no heap holds.
#[test]
fn files_in_memory_are_told_as_such_and_no_heap_is_read_for_them() {
    let mut world = World::new();
    world.engine.settings.heap.workloads = vec!["*".into()];
    world.engine.settings.heap.interval_s = 300.0;
    let pid = key(10, 100);
    world.start(node(pid, LEAKY));
    for minute in 1..60 {
        world.at(100 + minute * 60);
        let shmem = minute * 7;
        world.feed(What::Sample(Box::new(Sample {
            process: pid,
            rss: Some(80 * MB),
            rss_anon: Some(40 * MB),
            cgroup: Some(CgroupLevel {
                usage: (45 + shmem) * MB,
                anon: 40 * MB,
                shmem: shmem * MB,
                limit: Some(Limit {
                    bytes: 512 * MB,
                    cgroup: LEAKY.into(),
                }),
                ..CgroupLevel::default()
            }),
            growth: None,
        })));
    }
    let leak = world.findings.iter().find_map(|finding| match &finding.event {
        Event::Leak(verdict) => Some((verdict, finding)),
        _ => None,
    });
    let (verdict, finding) = leak.expect("growth is found");
    assert_eq!(verdict.attribution.map(|grown| grown.largest().0), Some("shmem"));
    let sentence = crate::telemetry::event(finding).body;
    assert!(sentence.contains("files in memory"), "{sentence}");
    assert!(
        !world
            .requests
            .iter()
            .any(|request| matches!(request, Request::ReadHeap(_)))
    );
}
