//! The agent killed and started again: runs go on, what happened meanwhile is told as counted, and a replay of the
//! second agent's recording says what it said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use observer_tests::{
    agent::{self, Agent, DEADLINE},
    bundle::Spec,
    cgroup::Memcg,
    container::{Container, Restart},
    need, places,
};
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// Memory of the unit that the agent runs as, bytes.
const OWN_LIMIT: u64 = 96 * MIB;

fn start(directory: &Path, more: &[&str]) -> Agent {
    let file = |name: &str| directory.join(name).display().to_string();
    let (store, socket) = (file("store"), file("status.sock"));
    let mut flags = vec!["--store", &store, "--state-interval", "1s", "--status-socket", &socket];
    flags.extend(more);
    Agent::start(&flags).unwrap()
}

fn status(directory: &Path) -> Option<Value> {
    let output = Command::new(places::agent())
        .args(["status", "--json", "--status-socket"])
        .arg(directory.join("status.sock"))
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// Waits until what the agent knows now has been put away.
fn put_away(directory: &Path) {
    let states = || status(directory)?["agent"]["store"]["states"].as_u64();
    let deadline = Instant::now() + DEADLINE;
    let mut wanted = None;
    loop {
        if let Some(states) = states() {
            // One may have been under way.
            if states >= *wanted.get_or_insert(states + 2) {
                return;
            }
        }
        assert!(
            Instant::now() < deadline,
            "no state was put away: {:?}",
            status(directory)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn is(finding: &Value, event: &str, service: &str) -> bool {
    finding["event"] == event && finding["resource"]["service.name"] == service
}

#[test]
fn a_kill_while_the_agent_was_away_is_told_as_counted() {
    need!(Root, Bpf, Runc, Node);
    let directory = tempfile::tempdir().unwrap();
    let mut first = start(directory.path(), &[]);
    let spec = Spec::fixture("away", Some(192 * MIB), "killed-worker.js", &[]).with("OTEL_SERVICE_NAME", "away");
    let mut container = Container::ready(spec, Restart::Never).unwrap();
    let cgroup = container.cgroup();
    let primary = first.sampled(&cgroup, 0).unwrap();
    first.sampled(&cgroup, primary).unwrap();
    put_away(directory.path());
    // Its drop is a SIGKILL.
    drop(first);

    container.tell("grow").unwrap();
    container
        .output
        .wait("the worker's end", DEADLINE, |line| {
            line.contains("\"SIGKILL\"").then_some(())
        })
        .unwrap();

    let mut second = start(directory.path(), &[]);
    second
        .wait_finding("the gap", |finding| {
            (finding["event"] == "observer.gap"
                && finding["attributes"]["observer.gap.reason"] == "the agent was not running")
                .then_some(())
        })
        .unwrap();
    let kill = second
        .wait_finding("the kill", |finding| {
            is(finding, "observer.process.oom_kill", "away").then(|| finding.clone())
        })
        .unwrap();
    assert_eq!(kill["attributes"]["observer.finding.confidence"], "inferred", "{kill}");
    assert_eq!(kill["attributes"]["observer.run.number"], 1, "{kill}");
    let shown = status(directory.path()).unwrap();
    assert_eq!(shown["agent"]["store"]["resumed"], true, "{shown}");

    let stopped = second.stop().unwrap();
    let recording = stopped.recording.to_string_lossy().into_owned();
    let output = agent::command(&["replay", &recording, "--output", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed: Vec<&str> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    assert_eq!(replayed, stopped.findings, "a replay begins with the state restored");

    // Everything both agents said is in the history.
    let records = observer::store::read(&directory.path().join("store"), Some("away"), 1_000).unwrap();
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| match record {
            observer::store::Record::Finding(finding) => finding.event.kind(),
            observer::store::Record::Run(_) => "run",
        })
        .collect();
    assert!(kinds.contains(&"oom_kill") && kinds.contains(&"gap"), "{kinds:?}");
}

/// It runs as a unit, at whose limit the kernel kills it.
#[test]
fn the_agents_own_kill_for_memory_is_told_as_a_services_is() {
    need!(Root, Bpf, Memory);
    let directory = tempfile::tempdir().unwrap();
    let unit = Memcg::exactly("system.slice/observer.service", Some(OWN_LIMIT)).unwrap();
    let agent = || {
        let file = |name: &str| directory.path().join(name).display().to_string();
        let mut command = unit.command(&places::agent());
        command
            .args(["run", "--output", "json", "--watch-itself", "true"])
            .args(["--sample-interval", "500ms", "--state-interval", "1s"])
            .args(["--store", &file("store"), "--status-socket", &file("status.sock")]);
        Agent::spawn(&mut command).unwrap()
    };
    let mut first = agent();
    let pid = first.pid();
    first.sampled(unit.path(), 0).unwrap();
    put_away(directory.path());
    fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").unwrap();
    // Who keeps what it reads until a line ends, which none does. It may be killed as well, after the agent.
    let mut filler = unit.command(Path::new("/bin/sh"));
    filler.args([
        "-c",
        "head -c \"$0\" /dev/zero | tail >/dev/null",
        &OWN_LIMIT.to_string(),
    ]);
    filler.status().unwrap();
    let killed = first.end().unwrap();
    assert_eq!(killed.code, 128 + 9, "{:?}", killed.messages);

    let mut second = agent();
    let restart = second
        .wait_finding("its restart", |finding| {
            is(finding, "observer.container.restart", "observer").then(|| finding.clone())
        })
        .unwrap();
    let attributes = &restart["attributes"];
    assert_eq!(attributes["observer.exit.cause"], "kernel_oom", "{restart}");
    assert_eq!(
        attributes["observer.exit.confidence"], "inferred",
        "nobody saw it: {restart}"
    );
    assert_eq!(attributes["observer.run.number"], 2, "{restart}");
    assert_eq!(
        restart["resource"]["systemd.unit.name"], "observer.service",
        "{restart}"
    );
}

#[test]
fn a_leak_is_judged_as_if_the_agent_had_never_been_killed() {
    need!(Root, Bpf, Runc, Node);
    let directory = tempfile::tempdir().unwrap();
    let fast = ["--time-scale", "0.001"];
    let mut first = start(directory.path(), &fast);
    let arguments = ["--what", "buffer", "--mb", "4", "--wait", "no"];
    let spec = Spec::fixture("survivor", Some(512 * MIB), "leak.js", &arguments).with("OTEL_SERVICE_NAME", "survivor");
    let container = Container::ready(spec, Restart::Never).unwrap();
    first.sampled(&container.cgroup(), 0).unwrap();
    put_away(directory.path());
    drop(first);

    let mut second = start(directory.path(), &fast);
    let verdict = second
        .wait_finding("a verdict", |finding| {
            let said = ["observer.memory.leak_suspected", "observer.memory.leak_likely"];
            said.iter()
                .any(|event| is(finding, event, "survivor"))
                .then(|| finding.clone())
        })
        .unwrap();
    let reason = verdict["attributes"]["observer.leak.reason"].as_str().unwrap();
    assert!(reason.contains("the agent was away for "), "{reason}");
    assert_eq!(
        verdict["attributes"]["observer.run.number"], 1,
        "it is still the same run"
    );
}
