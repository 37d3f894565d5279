//! Lines for people and for machines, of services with names nobody would choose.

use std::sync::Arc;

use observer_core::{
    finding::{Confidence, Event, Misfit, Rollout},
    identity::{Slot, Subject, Version, Workload},
    semconv,
    time::BootTime,
};

use super::*;
use crate::terminal::hostile;

fn finding(name: &str, event: Event) -> Finding {
    Finding {
        id: "1".into(),
        at: BootTime(1),
        wall: WallTime(1_700_000_000_000_000_000),
        subject: Some(Arc::new(Subject {
            workload: Workload {
                namespace: Some(name.into()),
                kind: "Deployment".into(),
                name: name.into(),
                container: Some(name.into()),
            },
            slot: Slot::Cgroup(name.into()),
            instance: 0,
            run: 1,
            version: Some(Version(name.into())),
            resource: [(semconv::SERVICE_NAME.to_owned(), name.to_owned())].into(),
            refused: [(semconv::SERVICE_NAME.to_owned(), name.to_owned())].into(),
        })),
        event,
        confidence: Confidence::Observed,
        contradicted_by: name.into(),
    }
}

fn events(name: &str) -> [Event; 2] {
    let misfit = Misfit {
        heap_limit: 2 << 30,
        cgroup_limit: 1 << 30,
        old_space_mib: Some(863),
        advice: name.into(),
    };
    let rollout = Rollout {
        to: Version(name.into()),
        from: Some(Version(name.into())),
        changed: name.into(),
    };
    [Event::Misfit(misfit), Event::Rollout(rollout)]
}

#[test]
fn a_hostile_name_is_one_bounded_harmless_line() {
    for name in hostile::names() {
        for event in events(&name) {
            let finding = finding(&name, event);
            for colour in [false, true] {
                let line = Lines::Human { colour }.of(&finding);
                hostile::harmless(line.as_str());
                assert_eq!(line.as_str().lines().count(), 1, "{:.300}", line.as_str());
                assert!(text::width(line.as_str()) < 2_300);
            }
        }
    }
}

#[test]
fn json_is_harmless_and_has_the_very_name() {
    for name in hostile::names() {
        let [_, rollout] = events(&name);
        let line = Lines::Json.of(&finding(&name, rollout));
        hostile::harmless(line.as_str());
        assert_eq!(line.as_str().lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(line.as_str()).unwrap();
        assert!(value["resource"][semconv::SERVICE_NAME] == *name);
    }
}

#[test]
fn a_usual_name_is_said_as_it_is() {
    let rollout = Event::Rollout(Rollout {
        to: Version("2.0".into()),
        from: None,
        changed: "image".into(),
    });
    let line = Lines::Human { colour: false }.of(&finding("checkout", rollout));
    assert_eq!(
        line.as_str(),
        "2023-11-14T22:13:20Z  INFO   checkout runs version 2.0 (image)\n"
    );
}
