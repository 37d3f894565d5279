//! The agent's own end while a service leaks: killed for memory, then evicted. Its ends are told as a workload's are, the service's
//! lives go on in number, and the verdict comes.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
};

use observer_tests::{
    cluster::{DEADLINE, LogStream},
    counterpart::KUBERNETES,
    need, places,
    rollouts::{LEAKING, is_of, said},
};
use serde_json::Value;

use super::{
    mid_leak::{CONFIRMED, MidLeak, RESTART},
    rollouts::SERVICE,
};

const PODS: [&str; 3] = ["pods", "--namespace", "observer"];

#[test]
fn the_agents_own_kill_and_eviction_are_told_and_lose_no_run() {
    need!(Full, Root, Bpf, Runc, Node, OtlpPython, Counterpart(&KUBERNETES));
    let (mut begun, mut agent) = MidLeak::start("own-end");
    let first = |finding: &Value| said(finding, SERVICE, RESTART, LEAKING).then_some(());
    agent.lines.wait_json("a first restart", DEADLINE, first).unwrap();

    // Killed by the kernel, at its own limit.
    let pod = begun
        .cluster
        .wait("the agent's pod", &PODS, |pod| Some(pod.clone()))
        .unwrap();
    let filler = Filler::start(&pod);
    begun
        .cluster
        .wait("the kubelet's word", &PODS, |pod| {
            let status = &pod["status"]["containerStatuses"][0];
            let killed = status["lastState"]["terminated"]["reason"] == "OOMKilled";
            (killed && status["ready"] == true).then_some(())
        })
        .unwrap();
    drop(filler);
    let mut agent = begun.follow();
    away(&mut agent);
    let own = |finding: &Value| {
        let of_it = finding["resource"]["k8s.pod.uid"] == pod["metadata"]["uid"] && finding["event"] == RESTART;
        of_it.then(|| finding.clone())
    };
    let restart = agent.lines.wait_json("the agent's own restart", DEADLINE, own).unwrap();
    let attributes = &restart["attributes"];
    assert_eq!(attributes["observer.exit.cause"], "kernel_oom", "{restart}");
    assert_eq!(attributes["observer.run.number"], 2, "{restart}");
    assert_eq!(restart["resource"]["k8s.daemonset.name"], "observer", "{restart}");

    // Evicted; its successor is another pod.
    let name = pod["metadata"]["name"].as_str().unwrap();
    begun.cluster.evict("observer", name).unwrap();
    begun
        .cluster
        .wait("its successor", &PODS, |other| {
            let ready = other["status"]["containerStatuses"][0]["ready"] == true;
            (ready && other["metadata"]["uid"] != pod["metadata"]["uid"]).then_some(())
        })
        .unwrap();
    let mut agent = begun.follow();
    away(&mut agent);
    let verdict = |finding: &Value| said(finding, SERVICE, CONFIRMED, LEAKING).then(|| finding.clone());
    let confirmed = begun.receiver.wait_for(CONFIRMED, DEADLINE, verdict).unwrap();
    let number = |finding: &Value| finding["attributes"]["observer.run.number"].as_u64();
    assert!(number(&confirmed) > Some(1), "{confirmed}");
    let evicted = begun
        .receiver
        .wait_for("the span of the run that was evicted", DEADLINE, |record| {
            let of_it = record["resource"]["k8s.pod.uid"] == pod["metadata"]["uid"];
            (record["signal"] == "span" && of_it && number(record) == Some(2)).then(|| record.clone())
        });
    let evicted = evicted.unwrap();
    assert_eq!(evicted["attributes"]["observer.exit.cause"], "evicted", "{evicted}");

    // By id, since a record may arrive twice. Each life of the service was told once, or counted as not seen.
    let leaky = begun
        .cluster
        .wait("the leaking pod", &["pods", "--namespace", "shop"], |pod| {
            Some(pod.clone())
        });
    let counted = leaky.unwrap()["status"]["containerStatuses"][0]["restartCount"]
        .as_u64()
        .unwrap();
    let arrived = begun.receiver.so_far();
    let restarts: BTreeMap<&str, &Value> = arrived
        .iter()
        .filter(|record| is_of(record, SERVICE) && record["event"] == RESTART)
        .filter_map(|record| Some((record["attributes"]["observer.finding.id"].as_str()?, record)))
        .collect();
    let numbers: BTreeMap<Option<u64>, &Value> = restarts.values().map(|record| (number(record), *record)).collect();
    assert_eq!(numbers.len(), restarts.len(), "{restarts:?}");
    let unseen = |record: &&Value| record["attributes"]["observer.restart.unseen"].as_u64().unwrap_or(0);
    let told: u64 = restarts.values().map(|record| 1 + unseen(record)).sum();
    assert!(told <= counted + 1, "{told} told of {counted} restarts: {restarts:?}");
    begun.end();
}

/// Waits until the time in between is told.
fn away(agent: &mut LogStream) {
    let gap = |finding: &Value| {
        let of_it = finding["attributes"]["observer.gap.reason"] == "the agent was not running";
        of_it.then_some(())
    };
    agent.lines.wait_json("the time in between", DEADLINE, gap).unwrap();
}

/// Who takes the memory of the agent's container until the kernel has to kill there, and prefers the agent.
struct Filler(Child);

impl Filler {
    fn start(pod: &Value) -> Self {
        let status = &pod["status"]["containerStatuses"][0];
        let id = status["containerID"]
            .as_str()
            .unwrap()
            .strip_prefix("containerd://")
            .unwrap();
        let (controller, version) = places::memory_controller().unwrap();
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let cgroup = ["burstable/", "", "besteffort/"]
            .map(|class| controller.join(format!("kubepods/{class}pod{uid}/{id}")))
            .into_iter()
            .find(|cgroup| cgroup.exists())
            .unwrap();
        let limit = if version == 1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        let limit: u64 = fs::read_to_string(cgroup.join(limit)).unwrap().trim().parse().unwrap();
        let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        let agent = members.lines().next().unwrap();
        fs::write(format!("/proc/{agent}/oom_score_adj"), "1000").unwrap();
        // One that keeps what it reads until a line ends, which none does.
        let fill = "echo $$ > \"$0/cgroup.procs\" && head -c \"$1\" /dev/zero | tail >/dev/null; exec sleep 600";
        let child = Command::new("sh")
            .args(["-c", fill])
            .arg(&cgroup)
            .arg(limit.to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // Its container's runtime has killed it, or its work is done.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
