//! A node that loses its power in mid-leak and comes back: what was found before arrives as it was found, the boots are told
//! apart, no end is made up for what the boot ended, and the leak is confirmed anew.

use std::collections::{BTreeMap, BTreeSet};

use observer_tests::{
    cluster::{ExclusiveCluster, LogStream},
    receiver::Receiver,
    rollouts::{is_of, said},
};
use serde_json::Value;

use super::{PATIENCE, deployment, in_agent};

/// The version that leaks again.
const VERSION: &str = "1.44.0";
const SERVICE: &str = "leaky";
const AGENT: &str = "daemonset/observer";
const RESTART: &str = "observer.container.restart";
const KILL: &str = "observer.process.oom_kill";
const CONFIRMED: &str = "observer.memory.leak_confirmed";

pub(super) fn judged(cluster: &ExclusiveCluster, address: &str, mut agent: LogStream, mut receiver: Receiver) {
    let leaking = deployment(SERVICE, "leaks", VERSION);
    cluster.apply(&leaking.to_string(), &[]).unwrap();
    let restarted = |finding: &Value| said(finding, SERVICE, RESTART, VERSION).then_some(());
    agent.lines.wait_json("a first restart", PATIENCE, restarted).unwrap();
    // From here on nobody takes what is found: it waits on the node's disk.
    let port = receiver.port.to_string();
    let mut arrived = receiver.so_far();
    drop(receiver);
    let again = |line: &str| serde_json::from_str(line).is_ok_and(|finding| restarted(&finding).is_some());
    agent
        .lines
        .wait_count("a restart that nobody takes", PATIENCE, 2, again)
        .unwrap();
    put_away(cluster);
    let told = by_id(agent.lines.json_so_far());
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    let pods = ["pods", "--namespace", "observer"];
    let before = cluster.wait("the agent's pod", &pods, restarts).unwrap();

    cluster.reboot_node(PATIENCE).unwrap();
    drop(agent);
    let mut receiver = Receiver::start(&["--host", address, "--port", &port]).unwrap();
    cluster
        .wait_for("the agent", PATIENCE, &pods, |pod| {
            let running = !pod["status"]["containerStatuses"][0]["state"]["running"].is_null();
            (running && restarts(pod)? > before).then_some(())
        })
        .unwrap();
    let mut agent = cluster.follow("observer", AGENT).unwrap();
    let verdict = |finding: &Value| said(finding, SERVICE, CONFIRMED, VERSION).then(|| finding.clone());
    let confirmed = agent.lines.wait_json("the verdict", PATIENCE, verdict).unwrap();

    let since = agent.lines.json_so_far();
    let over_the_boot = |finding: &&Value| {
        let reason = finding["attributes"]["observer.gap.reason"].as_str();
        reason.is_some_and(|reason| reason.contains("the host was restarted"))
    };
    let gaps: Vec<&Value> = since.iter().filter(over_the_boot).collect();
    let lasted = |gap: &Value| gap["attributes"]["observer.gap.duration"].as_f64();
    assert!(gaps.len() == 1 && lasted(gaps[0]) > Some(0.0), "{gaps:?}");
    // What the boot ended was not seen to end.
    for finding in since
        .iter()
        .filter(|finding| is_of(finding, "healthy") || is_of(finding, "resized"))
    {
        assert!(!is_end(finding), "{finding}");
    }
    // The verdict stands on lives of this boot.
    let ends: Vec<&Value> = since
        .iter()
        .filter(|finding| said(finding, SERVICE, RESTART, VERSION))
        .collect();
    let compared = confirmed["attributes"]["observer.leak.runs"].as_u64().unwrap();
    assert!(compared <= ends.len() as u64 + 1, "{compared} runs: {confirmed}");
    let mut numbers = Vec::new();
    for end in &ends {
        assert_eq!(end["attributes"]["observer.exit.cause"], "kernel_oom", "{end}");
        numbers.extend(end["attributes"]["observer.run.number"].as_u64());
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");

    // Each end of both boots arrives as it was found, under an id of its own.
    for (id, finding) in told.iter().chain(&by_id(since)).filter(|(_, finding)| is_end(finding)) {
        let same = |record: &Value| {
            let it = record["attributes"]["observer.finding.id"] == id.as_str() && record["event"] == finding["event"];
            it.then(|| record.clone())
        };
        let earlier = arrived.iter().find_map(same);
        let record = earlier.unwrap_or_else(|| receiver.wait_for(id, PATIENCE, same).unwrap());
        for attribute in ["observer.exit.cause", "observer.run.number", "observer.oom.scope"] {
            assert_eq!(
                record["attributes"][attribute], finding["attributes"][attribute],
                "{record}"
            );
        }
    }
    arrived.extend(receiver.so_far());
    let restarts: BTreeMap<String, Value> = by_id(arrived)
        .into_iter()
        .filter(|(_, record)| said(record, SERVICE, RESTART, VERSION))
        .collect();
    let times: BTreeSet<String> = restarts.values().map(|record| record["time_ns"].to_string()).collect();
    assert_eq!(times.len(), restarts.len(), "each once: {restarts:?}");
}

/// Whether it tells of an end, once.
fn is_end(finding: &Value) -> bool {
    [RESTART, KILL].iter().any(|event| finding["event"] == *event)
}

/// Waits until what was found is on the disk.
fn put_away(cluster: &ExclusiveCluster) {
    let states = || {
        in_agent(cluster, &["status", "--json"])["agent"]["store"]["states"]
            .as_u64()
            .unwrap()
    };
    let at = states();
    let started = std::time::Instant::now();
    while states() < at + 2 {
        assert!(started.elapsed() < PATIENCE, "the state is not put away");
        // The look-out for a state that announces nothing.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn by_id(findings: Vec<Value>) -> BTreeMap<String, Value> {
    let id = |finding: &Value| Some(finding["attributes"]["observer.finding.id"].as_str()?.to_owned());
    findings
        .into_iter()
        .filter_map(|finding| Some((id(&finding)?, finding)))
        .collect()
}
