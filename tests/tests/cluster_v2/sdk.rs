//! What the applications' SDK publishes in their memory: produces what their pods carry for it, and holds what was said of them
//! to the instance that it names.

use std::process::Command;

use observer_tests::{places, receiver::Receiver, rollouts::is_of, stage::Scratch};
use serde_json::{Value, json};

use super::{PATIENCE, published};

/// The library as a ConfigMap's file.
pub(super) const LIBRARY: &str = "otel_context.so";

/// The instance that a service publishes, as an SDK makes it up.
fn instance(service: &str) -> String {
    format!("627cc493-f310-47de-96bd-71410b7dec09-{service}")
}

/// The library that publishes, as a ConfigMap takes what is no text.
pub(super) fn library(scratch: &Scratch) -> String {
    let library = scratch.file(LIBRARY);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-pthread", "-o"]);
    compiler.arg(&library).arg(places::fixtures().join("otel_context.c"));
    assert!(compiler.status().unwrap().success());
    let encoded = Command::new("base64").arg("--wrap=0").arg(&library).output().unwrap();
    assert!(encoded.status.success());
    String::from_utf8(encoded.stdout).unwrap()
}

/// The variables by which a service's container publishes.
pub(super) fn environment(service: &str) -> Value {
    let instance = instance(service);
    let resource = published::resource(&[("service.name", service), ("service.instance.id", &instance)]);
    json!([
        {"name": "LD_PRELOAD", "value": format!("/app/{LIBRARY}")},
        {"name": "OTEL_CTX_FIRST", "value": resource},
    ])
}

/// What is said of a service stands on the instance that its own spans would name. A restart is told of a life that has just
/// begun, which nobody has read yet.
pub(super) fn judged(findings: &[Value], receiver: &mut Receiver) {
    let of_a_life = |finding: &&Value| {
        let event = finding["event"].as_str().unwrap_or_default();
        event == "observer.process.oom_kill" || event.starts_with("observer.memory.leak_")
    };
    let ours = findings
        .iter()
        .filter(|finding| is_of(finding, "leaky"))
        .filter(of_a_life);
    let instances: Vec<&Value> = ours
        .map(|finding| &finding["resource"]["service.instance.id"])
        .collect();
    assert!(!instances.is_empty());
    assert!(
        instances.iter().all(|of_it| **of_it == instance("leaky")),
        "{instances:?}"
    );
    let level = |record: &Value| {
        let of_it = record["name"] == "observer.memory.level" && is_of(record, "healthy");
        (of_it && record["resource"]["service.instance.id"] == instance("healthy")).then_some(())
    };
    receiver
        .wait_for("its level under the published instance", PATIENCE, level)
        .unwrap();
}
