//! The agent's own DaemonSet, updated while a service leaks: the time between the two is told, runs go on in number and
//! history, nothing is told twice, and the verdict comes as if nothing had happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use observer_tests::{
    cluster::{Cluster, DEADLINE},
    counterpart::KUBERNETES,
    need, places,
    receiver::Receiver,
    rollouts::{LEAKING, is_of, said},
    stage::Scratch,
};
use serde_json::{Value, json};

use super::rollouts::{SERVICE, deployment, for_test, rolled_out};

const AGENT: &str = "daemonset/observer";
const CONFIRMED: &str = "observer.memory.leak_confirmed";

#[test]
fn an_update_of_the_agent_in_mid_leak_changes_no_verdict() {
    need!(Full, Root, Bpf, Runc, Node, OtlpPython, Counterpart(&KUBERNETES));
    let cluster = Cluster::alone().unwrap();
    let scratch = Scratch::new("update").unwrap();
    cluster.load_agent(scratch.path()).unwrap();
    let address = cluster.node_address().unwrap();
    let mut receiver = Receiver::start(&["--host", &address]).unwrap();
    let endpoint = format!("http://{address}:{}", receiver.port);
    cluster.apply(&for_test(&endpoint, &scratch), &[]).unwrap();
    rolled_out(&cluster, "observer", AGENT);
    let mut before = cluster.follow("observer", AGENT).unwrap();

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    cluster.apply(&namespace.to_string(), &[]).unwrap();
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout", "namespace": "shop"},
        "data": {"checkout.js": fs::read_to_string(places::fixtures().join("checkout.js")).unwrap()},
    });
    cluster.apply(&files.to_string(), &[]).unwrap();
    cluster.apply(&deployment(LEAKING).to_string(), &[]).unwrap();

    // One run has ended at its limit, which is not enough to confirm a leak.
    let is_kill = |finding: &Value| said(finding, SERVICE, "observer.process.oom_kill", LEAKING);
    let kill = |finding: &Value| is_kill(finding).then(|| finding.clone());
    let first = before.lines.wait_json("a first kill", DEADLINE, kill).unwrap();
    let early = before.lines.so_far().iter().any(|line| line.contains(CONFIRMED));
    assert!(!early, "too late to be in the middle of it");
    cluster
        .ask(&["rollout", "restart", AGENT, "--namespace", "observer"])
        .unwrap();
    rolled_out(&cluster, "observer", AGENT);
    let mut after = cluster.follow("observer", AGENT).unwrap();
    let verdict = |finding: &Value| said(finding, SERVICE, CONFIRMED, LEAKING).then(|| finding.clone());
    let confirmed = after.lines.wait_json(CONFIRMED, DEADLINE, verdict).unwrap();
    let gap = after.lines.json_so_far().iter().any(|finding| {
        finding["event"] == "observer.gap"
            && finding["attributes"]["observer.gap.reason"] == "the agent was not running"
    });
    assert!(gap, "{:?}", after.lines.so_far());
    let number = |finding: &Value| finding["attributes"]["observer.run.number"].as_u64();
    assert!(number(&confirmed) > number(&first), "{first} {confirmed}");
    // A run that ended while no agent was there is not compared; one that ended before is.
    let compared = confirmed["attributes"]["observer.leak.runs"].as_u64().unwrap();
    let seen = after.lines.json_so_far();
    let seen = seen
        .iter()
        .filter(|finding| is_kill(finding) && finding["attributes"]["observer.finding.confidence"] == "observed");
    let seen = seen.count() as u64;
    assert!(
        compared > seen,
        "the runs before the update are compared too, beside {seen} since: {confirmed}"
    );

    // By id, since a record may arrive twice: each life follows another once, and none was numbered anew.
    receiver
        .wait(CONFIRMED, |record| {
            said(record, SERVICE, CONFIRMED, LEAKING).then_some(())
        })
        .unwrap();
    let arrived = receiver.so_far();
    let restarts: BTreeMap<&str, Option<u64>> = arrived
        .iter()
        .filter(|record| is_of(record, SERVICE) && record["event"] == "observer.container.restart")
        .filter_map(|record| Some((record["attributes"]["observer.finding.id"].as_str()?, number(record))))
        .collect();
    let numbers: BTreeSet<Option<u64>> = restarts.values().copied().collect();
    assert_eq!(numbers.len(), restarts.len(), "{restarts:?}");
    for object in ["namespace/shop", "namespace/observer"] {
        cluster
            .ask(&["delete", object, "--wait=true", "--timeout=120s"])
            .unwrap();
    }
}
