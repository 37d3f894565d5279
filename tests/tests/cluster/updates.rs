//! The agent's own DaemonSet, updated while a service leaks: the time between the two is told, runs go on in number and
//! history, nothing is told twice, and the verdict comes as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};

use observer_tests::{
    cluster::DEADLINE,
    counterpart::KUBERNETES,
    need,
    rollouts::{LEAKING, is_of, said},
};
use serde_json::Value;

use super::{
    mid_leak::{AGENT, CONFIRMED, MidLeak, RESTART},
    rollouts::{SERVICE, rolled_out},
};

#[test]
fn an_update_of_the_agent_in_mid_leak_changes_no_verdict() {
    need!(Full, Root, Bpf, Runc, Node, OtlpPython, Counterpart(&KUBERNETES));
    let (mut begun, mut before) = MidLeak::start("update");
    // One run has ended at its limit, which is not enough to confirm a leak.
    let is_kill = |finding: &Value| said(finding, SERVICE, "observer.process.oom_kill", LEAKING);
    let kill = |finding: &Value| is_kill(finding).then(|| finding.clone());
    let first = before.lines.wait_json("a first kill", DEADLINE, kill).unwrap();
    let early = before.lines.so_far().iter().any(|line| line.contains(CONFIRMED));
    assert!(!early, "too late to be in the middle of it");
    begun
        .cluster
        .ask(&["rollout", "restart", AGENT, "--namespace", "observer"])
        .unwrap();
    rolled_out(&begun.cluster, "observer", AGENT);
    let mut after = begun.follow();
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
    begun
        .receiver
        .wait(CONFIRMED, |record| {
            said(record, SERVICE, CONFIRMED, LEAKING).then_some(())
        })
        .unwrap();
    let arrived = begun.receiver.so_far();
    let restarts: BTreeMap<&str, Option<u64>> = arrived
        .iter()
        .filter(|record| is_of(record, SERVICE) && record["event"] == RESTART)
        .filter_map(|record| Some((record["attributes"]["observer.finding.id"].as_str()?, number(record))))
        .collect();
    let numbers: BTreeSet<Option<u64>> = restarts.values().copied().collect();
    assert_eq!(numbers.len(), restarts.len(), "{restarts:?}");
    begun.end();
}
