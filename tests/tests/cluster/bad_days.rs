//! A day on which all goes wrong for the agent itself: the API server away, then refusing; the collector away; the store's disk
//! full; the agent killed. Observation goes on, the state says what is wrong, and afterwards everything is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use observer_tests::{
    agent::{self, Agent},
    cluster::{
        Cluster, DEADLINE, Proxy,
        pods::{container, limited, list, namespace, pod, spec},
    },
    counterpart::KUBERNETES,
    need, places,
    ports::free_ports,
    receiver::Receiver,
    stage::Scratch,
};
use serde_json::Value;

use super::{NODE, account, allow, kubeconfig};

const NAMESPACE: &str = "badday";
/// Size of the store's disk.
const DISK: &str = "size=24m";
/// Bytes that leave nothing of it.
const BALLAST: usize = 32 << 20;
/// An event that each life ends with.
const RESTART: &str = "observer.container.restart";

#[test]
fn what_happened_on_a_bad_day_is_all_there_afterwards() {
    need!(
        Full,
        Root,
        Bpf,
        Runc,
        Node,
        OtlpPython,
        Program("mount"),
        Counterpart(&KUBERNETES)
    );
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("bad-day").unwrap();
    let who = account(&cluster, "badday", false);
    let proxy = Proxy::start(&cluster.server().unwrap(), false).unwrap();
    let kubeconfig = kubeconfig(&cluster, &who, &proxy, &scratch);
    let disk = Disk::mount(scratch.file("disk"));
    let socket = scratch.file("status.sock");
    let [port] = free_ports().unwrap();
    let start = || {
        let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "500ms"]);
        command
            .args(["--kubernetes", "on", "--node-name", NODE, "--state-interval", "1s"])
            .args([
                "--otlp-endpoint",
                &format!("http://127.0.0.1:{port}"),
                "--otlp-retry-max-interval",
                "1s",
            ])
            .arg("--store")
            .arg(disk.0.join("store"))
            .arg("--status-socket")
            .arg(&socket)
            .env("KUBECONFIG", &kubeconfig);
        Agent::spawn(&mut command).unwrap()
    };
    let mut agent = start();
    let says = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        let started = Instant::now();
        while !status(&socket).is_some_and(|status| holds(&status["agent"])) {
            assert!(started.elapsed() < DEADLINE, "{what}: {:?}", status(&socket));
            // The look-out for a state that announces nothing.
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
    };
    let limited_by = |agent: &Value, what: &str| agent["limits"].to_string().contains(what);

    // Nobody answers, nobody listens, and there is no room.
    disk.fill();
    let mut objects = namespace(NAMESPACE).unwrap();
    objects.push(pod(
        NAMESPACE,
        "leaky",
        spec(&[limited(container("api", "buffers"), "96Mi")]),
    ));
    cluster.apply(&list(&objects), &[]).unwrap();
    killed(&mut agent, 2);
    says("the API server is away", &|agent| {
        limited_by(agent, "pods are not watched")
    });
    says("the collector is away", &|agent| {
        agent["export"].to_string().contains("\"failing\":\"")
    });
    says("the disk is full", &|agent| {
        let store = &agent["store"];
        ["failed", "lost", "dropped"]
            .iter()
            .any(|count| store[*count].as_u64() > Some(0))
    });
    // It answers, and refuses.
    proxy.open();
    says("the API server refuses", &|agent| {
        limited_by(agent, "list and watch pods")
    });

    // All is well again, and the agent is killed in the middle of it.
    allow(&cluster, "badday");
    says("pods are watched", &|agent| !limited_by(agent, "pods are not watched"));
    disk.empty();
    let states = status(&socket).unwrap()["agent"]["store"]["states"].as_u64().unwrap();
    says("the state is put away", &|agent| {
        agent["store"]["states"].as_u64() > Some(states + 1)
    });
    let first = identities(agent.findings.so_far());
    drop(agent);
    let mut receiver = Receiver::start(&["--port", &port.to_string()]).unwrap();
    let mut agent = start();
    killed(&mut agent, 2);
    let gap = |finding: &Value| (finding["event"] == "observer.gap").then_some(());
    agent.wait_finding("the time between the two", gap).unwrap();

    // By its id, since what is delivered twice is one record, and in our namespace, since others' pods may be called the same.
    let runs = |findings: &[Value]| -> BTreeMap<String, u64> {
        let ours = findings.iter().filter(|f| {
            f["event"] == RESTART
                && f["resource"]["k8s.namespace.name"] == NAMESPACE
                && f["resource"]["k8s.pod.name"] == "leaky"
        });
        ours.filter_map(|f| {
            let attributes = &f["attributes"];
            let id = attributes["observer.finding.id"].as_str()?.to_owned();
            Some((id, attributes["observer.run.number"].as_u64()?))
        })
        .collect()
    };
    // Everything that either has said arrives, once; each life is counted once, and none was made up.
    let all: BTreeSet<String> = first.into_iter().chain(identities(agent.findings.so_far())).collect();
    for id in &all {
        let arrived = |record: &Value| (record["attributes"]["observer.finding.id"] == id.as_str()).then_some(());
        receiver.wait(id, arrived).unwrap();
    }
    let records: Vec<Value> = receiver
        .so_far()
        .into_iter()
        .filter(|record| record["signal"] == "log")
        .collect();
    let numbers = runs(&records);
    let unique: BTreeSet<u64> = numbers.values().copied().collect();
    assert_eq!(numbers.len(), unique.len(), "each once: {numbers:?}");
    let counted = cluster
        .wait("the kubelet's count", &["pods", "--namespace", NAMESPACE], |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"].as_u64()
        })
        .unwrap();
    assert!(
        unique.iter().all(|run| *run <= counted + 1),
        "{unique:?} of {counted} restarts"
    );
    let named = records
        .iter()
        .rev()
        .find(|record| record["event"] == "observer.process.oom_kill")
        .unwrap();
    assert_eq!(named["resource"]["k8s.node.name"], NODE, "{named}");
    agent.stop().unwrap();
    cluster
        .ask(&["delete", "namespace", NAMESPACE, "--wait=false"])
        .unwrap();
}

/// Waits for so many kills of the leaking container.
fn killed(agent: &mut Agent, times: usize) {
    let kill = |line: &str| {
        let finding: Value = serde_json::from_str(line).ok()?;
        let resource = finding["resource"].to_string();
        (finding["event"] == "observer.process.oom_kill" && resource.contains("leaky")).then_some(())
    };
    agent
        .findings
        .wait_count("a kill", DEADLINE, times, |line| kill(line).is_some())
        .unwrap();
}

fn identities(lines: &[String]) -> BTreeSet<String> {
    let findings = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
    let id = |finding: Value| finding["attributes"]["observer.finding.id"].as_str().map(str::to_owned);
    findings.filter_map(id).collect()
}

fn status(socket: &Path) -> Option<Value> {
    let mut command = Command::new(places::agent());
    let output = command
        .args(["status", "--json", "--status-socket"])
        .arg(socket)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// A small disk, gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "none"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(at)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn fill(&self) {
        // It ends where the disk does.
        assert!(fs::write(self.ballast(), vec![1; BALLAST]).is_err());
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while the agent that holds it open is on its way out.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
