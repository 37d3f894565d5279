//! A recording judged again gives the same findings, byte for byte: the engine has no other input than its Inputs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use observer_core::What;
use observer_tests::{
    agent::{self, Agent},
    bundle::Spec,
    container::{Container, Restart},
    need, places,
};

#[test]
fn a_chart_of_nobody_is_an_error_that_names_who_there_is() {
    let recording = places::workspace().join("tests/recordings/lru.jsonl.gz");
    let output = agent::command(&["replay", "--chart", "nosuch"])
        .arg(recording)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nosuch") && said.contains("  lru"), "{said}");
}

#[test]
fn the_same_findings_byte_for_byte() {
    need!(Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&["--time-scale", "0.001"]).unwrap();
    let spec = Spec::fixture(
        "replayed",
        Some(128 << 20),
        "leak.js",
        &["--what", "buffer", "--mb", "25", "--wait", "no"],
    )
    .with("OTEL_SERVICE_NAME", "replayed");
    let mut container = Container::start(spec, Restart::After(Duration::from_millis(300))).unwrap();
    container
        .ends
        .wait_count("a kill", Duration::from_mins(2), 3, |line| line == "137")
        .unwrap();
    agent
        .wait_finding("a restart", |finding| {
            (finding["event"] == "observer.container.restart").then_some(())
        })
        .unwrap();
    drop(container);
    let stopped = agent.stop().unwrap();
    assert!(!stopped.findings.is_empty());
    let recording = stopped.recording.to_string_lossy().into_owned();
    let output = agent::command(&["replay", &recording, "--output", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed: Vec<&str> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    assert_eq!(replayed, stopped.findings);
    assert!(
        serde_json::from_str::<observer_core::Input>(
            std::fs::read_to_string(&stopped.recording)
                .unwrap()
                .lines()
                .last()
                .unwrap()
        )
        .is_ok_and(|input| input.what == What::End)
    );
}
