//! A container that fails right after its start, again and again: the first restarts are told one by one, the rest is one
//! finding that is updated.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use observer_tests::{
    agent::Agent,
    bundle::Spec,
    container::{Container, Restart},
    need,
};
use serde_json::Value;

#[test]
fn a_crash_loop_is_one_finding_that_is_updated() {
    need!(Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&[]).unwrap();
    let spec =
        Spec::fixture("looping", Some(128 << 20), "brief.js", &["--ms", "400"]).with("OTEL_SERVICE_NAME", "looping");
    let _container = Container::start(spec, Restart::After(Duration::from_millis(50))).unwrap();
    let crash_loop = agent
        .wait_finding("the loop, updated", |finding| {
            let attributes = &finding["attributes"];
            let updated = finding["event"] == "observer.container.crash_loop"
                && attributes["observer.crash_loop.restarts"].as_u64() >= Some(8);
            updated.then(|| finding.clone())
        })
        .unwrap();
    let attributes = &crash_loop["attributes"];
    assert_eq!(attributes["observer.exit.cause"], "error_exit", "{crash_loop:#}");
    assert_eq!(attributes["process.exit.code"], 3, "{crash_loop:#}");
    assert_eq!(crash_loop["resource"]["service.name"], "looping", "{crash_loop:#}");
    let findings = agent.findings.so_far().iter();
    let restarts = findings
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|finding| {
            finding["event"] == "observer.container.restart" && finding["resource"]["service.name"] == "looping"
        });
    assert_eq!(restarts.count(), 3, "the first restarts are told one by one");
}
