//! Which findings are Events, on which pod, and how the object looks.

use std::sync::Arc;

use expect_test::expect;
use observer_core::{
    finding::{Confidence, OomKill, OomKiller, OomScope},
    identity::{Subject, Workload},
    time::BootTime,
};

use super::*;

fn finding(slot: Slot, pod: &str) -> Finding {
    let resource = [
        (semconv::SERVICE_NAME, "checkout"),
        (semconv::K8S_NAMESPACE_NAME, "shop"),
        (semconv::K8S_POD_NAME, pod),
        (semconv::K8S_CONTAINER_NAME, "api"),
    ];
    Finding {
        id: "1".to_owned(),
        at: BootTime(1),
        wall: WallTime(1_700_000_000_999_000_000),
        subject: Some(Arc::new(Subject {
            workload: Workload {
                namespace: Some("shop".to_owned()),
                kind: "Deployment".to_owned(),
                name: "checkout".to_owned(),
                container: None,
            },
            slot,
            instance: 0,
            run: 1,
            version: None,
            resource: resource.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            refused: [].into(),
        })),
        event: Event::OomKill(OomKill {
            killer: OomKiller::Kernel,
            scope: OomScope::Container,
            cgroup: None,
            limit: Some(160 << 20),
            usage: None,
            anon: Some(154 << 20),
            file: None,
            shmem: None,
            pid: 17,
            comm: "node".to_owned(),
            main_process: true,
            co_victims: 0,
        }),
        confidence: Confidence::Observed,
        contradicted_by: String::new(),
    }
}

fn of_pod() -> Slot {
    Slot::Pod {
        uid: "0f2e9d5c".to_owned(),
        container: "api".to_owned(),
    }
}

#[test]
fn a_kill_is_an_event_on_its_container() {
    let (key, said) = of(&finding(of_pod(), "checkout-7d9c5f-x"), Reason::OomKilled).unwrap();
    let object = object(&key, &said, "node-1");
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Event",
          "count": 1,
          "firstTimestamp": "2023-11-14T22:13:20Z",
          "involvedObject": {
            "apiVersion": "v1",
            "fieldPath": "spec.containers{api}",
            "kind": "Pod",
            "name": "checkout-7d9c5f-x",
            "namespace": "shop",
            "uid": "0f2e9d5c"
          },
          "lastTimestamp": "2023-11-14T22:13:20Z",
          "message": "checkout was killed for memory by the kernel at its limit of 160 MiB; node (pid 17) held 154 MiB",
          "metadata": {
            "name": "checkout-7d9c5f-x.2cbc73e65b1eb3fa",
            "namespace": "shop"
          },
          "reason": "OOMKilled",
          "reportingComponent": "observer",
          "reportingInstance": "node-1",
          "source": {
            "component": "observer",
            "host": "node-1"
          },
          "type": "Warning"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&object).unwrap());
}

#[test]
fn what_is_on_no_pod_known_by_name_is_none() {
    assert_eq!(reason(&finding(Slot::Unit("api.service".to_owned()), "p")), None);
    let unnamed = finding(of_pod(), "");
    assert_eq!(reason(&unnamed), Some(Reason::OomKilled));
    assert_eq!(of(&unnamed, Reason::OomKilled), None);
}

#[test]
fn a_name_is_the_same_again_another_for_another_reason_and_never_too_long() {
    let (key, _) = of(&finding(of_pod(), &"p".repeat(253)), Reason::OomKilled).unwrap();
    let other = Key {
        reason: Reason::LeakLikely,
        ..key.clone()
    };
    assert_eq!(name(&key), name(&key.clone()));
    assert_ne!(name(&key), name(&other));
    assert_eq!(name(&key).len(), 253);
}

#[test]
fn a_long_sentence_ends_within_the_limit() {
    let text = shortened("ü".repeat(2_000));
    assert!(text.len() <= LONGEST && text.ends_with("ü…"), "{}", text.len());
}
