//! A cluster that recycles its workers inside one container: what ends and begins there is no restart of the service.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::time::Duration;

use observer_core::{
    What,
    kernel::{ExitStatus, KernelEvent},
};
use observer_tests::{
    agent::{Agent, DEADLINE},
    bundle::Spec,
    container::{Container, Restart},
    need,
};
use serde_json::Value;

const NAME: &str = "recycled";
/// Workers that have to leave before the test believes it.
const RECYCLED: usize = 3;

fn restarts(lines: &[String]) -> Vec<Value> {
    let findings = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    findings
        .filter(|finding| {
            finding["event"] == "observer.container.restart" && finding["resource"]["service.name"] == NAME
        })
        .collect()
}

#[test]
fn recycled_workers_are_no_restart_and_their_containers_end_is_one() {
    need!(Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&[]).unwrap();
    let spec = Spec::fixture(NAME, Some(256 << 20), "workers.js", &["--recycle", "1500", "--mb", "5"])
        .with("OTEL_SERVICE_NAME", NAME);
    let mut container = Container::ready(spec, Restart::After(Duration::from_millis(300))).unwrap();
    let cgroup = container.cgroup();
    let seen = |agent: &mut Agent| {
        agent
            .wait_input("a worker's inspection", |input| match &input.what {
                // The primary is process 1 of the container.
                What::Process(facts) if facts.cgroup == cgroup && facts.is_watched() && facts.ns_pid != 1 => {
                    Some(facts.key)
                }
                _ => None,
            })
            .unwrap()
    };
    let worker = seen(&mut agent);
    let status = agent
        .wait_input("the worker's exit", |input| match &input.what {
            What::Kernel(KernelEvent::Exit { process, status, .. }) if *process == worker => Some(*status),
            _ => None,
        })
        .unwrap();
    assert_eq!(status, Some(ExitStatus::Code(0)));
    container
        .output
        .wait_count("a worker's end", DEADLINE, RECYCLED, |line| {
            serde_json::from_str::<Value>(line).is_ok_and(|told| told["code"] == 0)
        })
        .unwrap();
    // Whatever was to be said of the workers comes before what is said of the container itself.
    container.signal("KILL").unwrap();
    let restart = agent
        .wait_finding("the container's restart", |finding| {
            restarts(&[finding.to_string()]).pop()
        })
        .unwrap();
    assert_eq!(restart["attributes"]["observer.run.number"], 2, "{restart:#}");
    assert_eq!(
        restart["attributes"]["observer.exit.cause"], "terminated",
        "{restart:#}"
    );
    assert_eq!(restarts(agent.findings.so_far()).len(), 1);
}
