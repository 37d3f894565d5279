//! A pod that would mislead the agent, stop it or make it grow: reads what the agent made of it and of the pod beside it.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use observer_core::{Input, What, time::BootTime};
use observer_tests::{
    agent::{self, Agent},
    cluster::{
        Cluster, Proxy,
        pods::{container, list, namespace, pod, running, spec, with},
    },
    counterpart::KUBERNETES,
    need, places,
    stage::Scratch,
};
use serde_json::{Value, json};

use super::{NODE, account, kubeconfig};

const NAMESPACE: &str = "attack";
/// What lies on the host, outside of every container.
const SECRET: &str = "stolen-from-the-host";
/// Directories with a program each, and what of them is hostile.
const TRAPS: [&str; 6] = ["pipe", "absolute", "climbing", "device", "long", "linked"];
/// Longest Input that a process may cause, bytes: environment and published Resource are kept by name and cut.
const LONGEST_INPUT: usize = 64 << 10;
/// How much the agent may grow by, bytes.
const GROWTH: u64 = 48 << 20;

#[test]
fn a_hostile_pod_reads_blocks_and_takes_nothing() {
    need!(
        Full,
        Root,
        Bpf,
        Runc,
        Node,
        Program("cc"),
        Program("mkfifo"),
        Counterpart(&KUBERNETES)
    );
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("attack").unwrap();
    let who = account(&cluster, "attack", true);
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let kubeconfig = kubeconfig(&cluster, &who, &proxy, &scratch);
    let app = scratch.file("app");
    traps(&app, &scratch.file("outside"));

    let mut objects = namespace(NAMESPACE).unwrap();
    objects.push(pod(NAMESPACE, "alice", spec(&[container("api", "serve")])));
    cluster.apply(&list(&objects), &[]).unwrap();
    let space = format!("--namespace={NAMESPACE}");
    let alice = cluster
        .wait("alice", &["pods", &space], |pod| running(pod, "alice"))
        .unwrap();
    let mut command = agent::command(&["run", "--output", "json", "--status-socket", "off"]);
    command
        .args(["--sample-interval", "500ms", "--kubernetes", "on", "--node-name", NODE])
        .args(["--heap-workloads", "*"])
        .env("KUBECONFIG", &kubeconfig);
    let mut agent = Agent::spawn(&mut command).unwrap();
    let alices = agent
        .wait_input("alice's process", |input| process(input, "/app/pod.js"))
        .unwrap()
        .0;
    let before = resident(agent.pid());

    cluster.apply(&mallory(&app, &alice).to_string(), &[]).unwrap();
    let mut last = BootTime(0);
    for trap in TRAPS {
        let script = format!("/app/{trap}/index.js");
        let (_, at) = agent.wait_input(trap, |input| process(input, &script)).unwrap();
        last = last.max(at);
    }
    // Whatever it met there, it goes on looking at everybody.
    agent
        .wait_input("a later level of alice", |input| match &input.what {
            What::Sample(sample) if sample.process.pid == alices && input.at > last => Some(()),
            _ => None,
        })
        .unwrap();
    let restart = agent
        .wait_finding("mallory's end", |finding| {
            let of_it = finding["resource"]["k8s.pod.name"] == "mallory";
            (of_it && finding["event"] == "observer.container.restart").then(|| finding.clone())
        })
        .unwrap();
    let grown = resident(agent.pid()).saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more than {before}");

    let mallory = cluster
        .wait("mallory", &["pods", &space], |pod| running(pod, "mallory"))
        .unwrap();
    let resource = &restart["resource"];
    assert_eq!(resource["k8s.pod.uid"], mallory["metadata"]["uid"], "{resource}");
    assert_eq!(resource["k8s.namespace.name"], NAMESPACE, "{resource}");
    assert_ne!(resource["container.id"], "c".repeat(64), "{resource}");
    assert_eq!(restart["attributes"]["observer.exit.cause"], "error_exit", "{restart}");

    let stopped = agent.stop().unwrap();
    let recording = fs::read_to_string(&stopped.recording).unwrap();
    assert!(!recording.contains(SECRET), "read outside of its root");
    for line in recording.lines() {
        assert!(line.len() < LONGEST_INPUT, "{} bytes: {:.300}", line.len(), line);
    }
    for line in &stopped.findings {
        let finding: Value = serde_json::from_str(line).unwrap();
        let resource = &finding["resource"];
        let of_alice = resource["k8s.pod.uid"] == alice["metadata"]["uid"];
        assert_eq!(resource["k8s.pod.name"] == "alice", of_alice, "{finding}");
        assert!(
            !(of_alice && finding["event"] == "observer.container.restart"),
            "{finding}"
        );
    }
    cluster
        .ask(&["delete", "namespace", NAMESPACE, "--wait=false"])
        .unwrap();
}

/// A directory for each trap, with its program; what they lead to lies outside of the container.
fn traps(app: &Path, outside: &Path) {
    let program = fs::read(places::fixtures().join("hostile.js")).unwrap();
    fs::create_dir_all(outside).unwrap();
    let secret = outside.join("package.json");
    fs::write(&secret, json!({"name": SECRET, "version": SECRET}).to_string()).unwrap();
    for trap in TRAPS {
        let directory = app.join(trap);
        fs::create_dir_all(&directory).unwrap();
        let package = directory.join("package.json");
        let climbing = format!("../../../../../../../../..{}", secret.display());
        match trap {
            "pipe" => assert!(Command::new("mkfifo").arg(&package).status().unwrap().success()),
            "absolute" => symlink(&secret, &package).unwrap(),
            "climbing" => symlink(climbing, &package).unwrap(),
            "device" => symlink("/dev/zero", &package).unwrap(),
            "long" => fs::write(
                &package,
                json!({"name": "n".repeat(1 << 20), "version": "1"}).to_string(),
            )
            .unwrap(),
            _ => symlink("/proc/1/exe", &package).unwrap(),
        }
        fs::write(directory.join("index.js"), &program).unwrap();
    }
    fs::write(app.join("hostile.js"), &program).unwrap();
    let library = app.join("mappings.so");
    let source = places::fixtures().join("mappings.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(compiler.status().unwrap().success());
}

/// It claims to be alice wherever it can.
fn mallory(app: &Path, alice: &Value) -> Value {
    let uid = alice["metadata"]["uid"].as_str().unwrap();
    let claims = format!(
        "k8s.pod.name=alice,k8s.pod.uid={uid},k8s.namespace.name=kube-system,container.id={},long={}",
        "c".repeat(64),
        "v".repeat(100_000)
    );
    let environment = json!([
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": claims},
        {"name": "LD_PRELOAD", "value": "/app/mappings.so"},
    ]);
    let more = json!({"args": ["/app/hostile.js"], "env": environment});
    let api = with(container("api", ""), more);
    let volumes = json!({"volumes": [{"name": "app", "hostPath": {"path": app}}]});
    pod(NAMESPACE, "mallory", with(spec(&[api]), volumes))
}

/// The pid of the process that runs this script, and when that was known.
fn process(input: &Input, script: &str) -> Option<(u32, BootTime)> {
    match &input.what {
        What::Process(facts) if facts.script.as_deref() == Some(script) => Some((facts.key.pid, input.at)),
        _ => None,
    }
}

/// Bytes that a process holds.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
