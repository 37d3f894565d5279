//! Garbage that V8 collects too late for its container: a misfit of two limits, and no leak, unless what is held grows.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use observer_tests::{
    agent::Agent,
    bundle::Spec,
    container::{Container, Restart},
    need,
};
use serde_json::Value;

/// A growth program in 256 MiB, whose V8 may use 4 GiB.
fn spec(name: &str, program: &str, mb: &str) -> Spec {
    Spec::fixture(name, Some(256 << 20), "growth.js", &["--program", program, "--mb", mb])
        .with("OTEL_SERVICE_NAME", name)
        .with("NODE_OPTIONS", "--max-old-space-size=4096")
}

fn restarting(spec: Spec) -> Container {
    Container::start(spec, Restart::After(Duration::from_millis(300))).unwrap()
}

/// The state of a leak, where the finding is one of this service.
fn leak(finding: &Value, service: &str) -> Option<String> {
    let of = finding["resource"]["service.name"] == service;
    let state = finding["attributes"]["observer.leak.state"].as_str().filter(|_| of)?;
    Some(state.to_owned())
}

/// Waits until the service was killed so often by the kernel, for the cause that the cure removes.
fn killed_by_misfit(agent: &mut Agent, service: &str, times: u64) {
    (1..=times).for_each(|nth| killed(agent, service, nth));
}

fn killed(agent: &mut Agent, service: &str, nth: u64) {
    agent
        .wait_finding("a kill that the misfit caused", |finding| {
            let attributes = &finding["attributes"];
            let of = finding["resource"]["service.name"] == service;
            let number = attributes["observer.run.previous.number"].as_u64().filter(|_| of)?;
            let cured = attributes["observer.exit.reason"]
                .as_str()?
                .contains("set --max-old-space-size=");
            (attributes["observer.exit.cause"] == "kernel_oom" && cured && number >= nth).then_some(())
        })
        .unwrap();
}

fn reports(agent: Agent, service: &str) -> Vec<String> {
    let stopped = agent.stop().unwrap();
    let findings = stopped.findings.iter().map(|line| serde_json::from_str(line).unwrap());
    let states = findings.filter_map(|finding: Value| leak(&finding, service));
    states
        .filter(|state| state == "likely" || state == "confirmed")
        .collect()
}

#[test]
fn garbage_that_fills_the_container_before_v8_collects_is_a_misfit_and_no_leak() {
    need!(Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&["--time-scale", "0.001"]).unwrap();
    let _late = restarting(spec("late", "late", "8"));
    agent
        .wait_finding("the misfit", |finding| {
            let advice = finding["attributes"]["observer.misfit.advice"].as_str()?;
            (finding["resource"]["service.name"] == "late" && advice.contains("set --max-old-space-size=202"))
                .then_some(())
        })
        .unwrap();
    killed_by_misfit(&mut agent, "late", 2);
    let recurring = agent
        .wait_finding("kills that recur", |finding| {
            let of =
                finding["event"] == "observer.memory.recurring_oom" && finding["resource"]["service.name"] == "late";
            of.then(|| finding["attributes"].clone())
        })
        .unwrap();
    assert_eq!(recurring["observer.recurring_oom.kills"], 3, "{recurring}");
    assert_eq!(recurring["observer.recurring_oom.pattern"], "garbage", "{recurring}");
    assert_eq!(recurring["observer.recurring_oom.explanation"], "misfit", "{recurring}");
    assert_eq!(reports(agent, "late"), [""; 0]);
}

#[test]
fn a_reading_of_the_heap_decides_between_garbage_and_a_leak_under_the_same_limits() {
    need!(Root, Bpf, Runc, Node);
    let flags = [
        "--time-scale",
        "0.001",
        "--heap-workloads",
        "late-read,leaky",
        "--heap-interval",
        "1s",
    ];
    let mut agent = Agent::start(&flags).unwrap();
    let _late = restarting(spec("late-read", "late", "8"));
    let _leaky = restarting(spec("leaky", "map", "6"));
    agent
        .wait_finding("the leak, by its heap", |finding| {
            let state = leak(finding, "leaky")?;
            let basis = &finding["attributes"]["observer.leak.basis"];
            (basis == "heap" && (state == "likely" || state == "confirmed")).then_some(())
        })
        .unwrap();
    // Whether the other is read as well depends on its pace: only growth that would be reported otherwise is.
    killed_by_misfit(&mut agent, "late-read", 2);
    assert_eq!(reports(agent, "late-read"), [""; 0]);
}
