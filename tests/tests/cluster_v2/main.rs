//! The chart on a real node with cgroup v2: a Deployment that leaks and one that does not, as the agent tells of them there, until
//! a version without the leak; what else happens to pods; and a node whose memory is short, and that reboots.
//!
//! The node is a virtual machine under emulation (`cargo xtask cluster up --cgroup 2`), its kernel Debian's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod eviction;
mod pods;
#[path = "../published/mod.rs"]
mod published;
mod reboot;
mod sdk;

use std::{collections::BTreeSet, fs, time::Instant};

use observer_tests::{
    cluster::{Cluster, ExclusiveCluster},
    counterpart::{HELM, KUBERNETES},
    need, places,
    receiver::Receiver,
    rollouts::{TIME_SCALE, is_of, said},
    stage::Scratch,
};
use serde_json::{Value, json};

const VERSION: &str = "1.42.0";
const FIXED: &str = "1.43.0";
const RESOLVED: &str = "observer.memory.leak_resolved";
const NAMESPACE: &str = "shop";
/// Limit of memory, bytes: some fifteen seconds of `checkout.js leaks`, so that a run has samples enough under emulation.
const LIMIT: u64 = 192 << 20;
/// How long an event may take under emulation.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);

#[test]
fn a_leak_is_confirmed_and_resolved_on_cgroup_v2_and_every_cause_is_what_it_was() {
    need!(
        Full,
        Root,
        Runc,
        Node,
        OtlpPython,
        Program("qemu-system-x86_64"),
        Program("busybox"),
        Program("mkfs.ext4"),
        Program("cc"),
        Program("xz"),
        Counterpart(&KUBERNETES),
        Counterpart(&HELM)
    );
    let cluster = Cluster::with_cgroup(2).unwrap();
    let scratch = Scratch::new("cgroup-v2").unwrap();
    cluster.load_agent(scratch.path()).unwrap();
    let server = cluster.server().unwrap();
    let address = server.split(':').next().unwrap();
    let mut receiver = Receiver::start(&["--host", address]).unwrap();
    installed(&cluster, &format!("http://{address}:{}", receiver.port));
    let mut agent = cluster.follow("observer", "daemonset/observer").unwrap();

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    cluster.apply(&namespace.to_string(), &[]).unwrap();
    let script = fs::read_to_string(places::fixtures().join("checkout.js")).unwrap();
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout", "namespace": NAMESPACE},
        "data": {"checkout.js": script}, "binaryData": {sdk::LIBRARY: sdk::library(&scratch)},
    });
    cluster.apply(&files.to_string(), &[]).unwrap();
    for (name, argument) in [("healthy", "holds"), ("leaky", "leaks")] {
        cluster
            .apply(&deployment(name, argument, VERSION).to_string(), &[])
            .unwrap();
    }
    let mut await_one_of = |events: &[&str]| {
        let told = |finding: &Value| {
            let event = finding["event"].as_str()?.strip_prefix("observer.")?;
            (is_of(finding, "leaky") && events.contains(&event)).then_some(())
        };
        agent.lines.wait_json(&events.join(" or "), PATIENCE, told).unwrap();
    };
    // A sampler that the emulator holds up may pass over the first of the two.
    await_one_of(&["memory.leak_suspected", "memory.leak_likely"]);
    await_one_of(&["process.oom_kill"]);
    await_one_of(&["container.restart"]);
    await_one_of(&["memory.leak_confirmed"]);
    let findings = agent.lines.json_so_far();

    let of = |service: &str| -> Vec<&Value> { findings.iter().filter(|f| is_of(f, service)).collect() };
    let reported: BTreeSet<&str> = of("healthy").into_iter().filter_map(|f| f["event"].as_str()).collect();
    for event in &reported {
        assert!(
            !event.contains("leak_likely") && !event.contains("leak_confirmed"),
            "{reported:?}"
        );
        assert!(!event.contains("oom_kill"), "{reported:?}");
    }
    sdk::judged(&findings, &mut receiver);
    let pod = the_pod(&cluster, "leaky");
    for finding in of("leaky") {
        of_the_pod(finding, &pod);
    }
    for kill in of("leaky")
        .into_iter()
        .filter(|f| f["event"] == "observer.process.oom_kill")
    {
        let attributes = &kill["attributes"];
        assert_eq!(
            (&attributes["observer.oom.scope"], &attributes["observer.memory.limit"]),
            (&json!("container"), &json!(LIMIT)),
            "{kill}"
        );
        assert_eq!(attributes["observer.oom.main_process"], true, "{kill}");
    }
    for restart in of("leaky")
        .into_iter()
        .filter(|f| f["event"] == "observer.container.restart")
    {
        assert_eq!(restart["attributes"]["observer.exit.cause"], "kernel_oom", "{restart}");
    }
    // The kubelet's own word.
    let terminated = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(
        (&terminated["reason"], &terminated["exitCode"]),
        (&json!("OOMKilled"), &json!(137)),
        "{pod}"
    );

    cluster
        .apply(&deployment("leaky", "holds", FIXED).to_string(), &[])
        .unwrap();
    let resolved = |finding: &Value| said(finding, "leaky", RESOLVED, FIXED).then(|| finding.clone());
    let resolved = agent.lines.wait_json("the leak's end", PATIENCE, resolved).unwrap();
    for (side, version) in [("before", VERSION), ("after", FIXED)] {
        assert_eq!(
            resolved["attributes"][format!("observer.leak.{side}.version")],
            version,
            "{resolved}"
        );
    }
    one_trace(&mut receiver);
    the_least_privilege(&cluster);

    pods::start(&cluster);
    pods::judged(&cluster, &mut agent);
    eviction::judged(&cluster, &mut receiver);
    reboot::judged(&cluster, address, agent, receiver);
}

/// The spans of the leaking rollout's runs are those of one trace.
fn one_trace(receiver: &mut Receiver) {
    let spans = receiver.so_far();
    let of_rollout = |span: &&Value| {
        let resource = &span["resource"];
        span["signal"] == "span" && resource["service.name"] == "leaky" && resource["service.version"] == VERSION
    };
    let traces: Vec<&Value> = spans.iter().filter(of_rollout).map(|span| &span["trace_id"]).collect();
    let all: BTreeSet<&str> = traces.iter().filter_map(|trace| trace.as_str()).collect();
    assert!(traces.len() > 1 && all.len() == 1, "{traces:?}");
}

/// As the chart has it, the agent sees everything there, on the best rung.
fn the_least_privilege(cluster: &ExclusiveCluster) {
    let doctor = in_agent(cluster, &["doctor", "--json"]);
    assert_eq!(doctor["cgroup_version"], 2, "{doctor}");
    let hooks = doctor["hooks"].as_array().unwrap();
    assert!(hooks.iter().all(|hook| hook["rung"] == "tp_btf"), "{doctor}");
    let pods = ["get", "pods", "--namespace", "observer", "-o", "json"];
    let pods: Value = serde_json::from_str(&cluster.ask(&pods).unwrap()).unwrap();
    let context = &pods["items"][0]["spec"]["containers"][0]["securityContext"];
    assert_ne!(context["privileged"], true, "{context}");
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{context}");
}

/// What `observer ARGUMENTS` prints in the agent's own container.
fn in_agent(cluster: &ExclusiveCluster, arguments: &[&str]) -> Value {
    let exec = [
        "exec",
        "--namespace",
        "observer",
        "daemonset/observer",
        "--",
        "/observer",
    ];
    // `doctor` may end with 3 where a kernel lacks something.
    let output = cluster.kubectl(&[&exec, arguments].concat()).unwrap().output().unwrap();
    assert!(!output.stdout.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the agent shows a workload as wanted.
fn shown<T>(cluster: &ExclusiveCluster, name: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let workloads = in_agent(cluster, &["ps", "--json"]);
        let mut all = workloads.as_array().unwrap().iter();
        let found = all.find(|workload| workload["service"] == name);
        if let Some(wanted) = found.and_then(&wanted) {
            return wanted;
        }
        assert!(started.elapsed() < PATIENCE, "{name}: {found:?}");
        // The look-out for a state that announces nothing.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// The chart, with where the image is and how fast to judge.
fn installed(cluster: &ExclusiveCluster, endpoint: &str) {
    let chart = places::workspace().join("deploy/helm/observer").display().to_string();
    let scale = format!("settings.time-scale={TIME_SCALE}");
    let endpoint = format!("otlp.endpoint={endpoint}");
    let values = ["image.tag=dev", &endpoint, "settings.sample-interval=250ms", &scale];
    let values: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    let install = [
        "install",
        "observer",
        &chart,
        "--namespace",
        "observer",
        "--create-namespace",
    ];
    cluster
        .helm(&HELM, &[&install[..], &values, &["--wait", "--timeout", "8m"]].concat())
        .unwrap();
}

fn deployment(name: &str, argument: &str, version: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/version": version});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 20,
                    "containers": [{
                        "name": "api", "image": "docker.io/local/node:host", "imagePullPolicy": "Never",
                        "args": ["/app/checkout.js", argument], "env": sdk::environment(name),
                        "resources": {"limits": {"memory": LIMIT.to_string()}},
                        "volumeMounts": [{"name": "app", "mountPath": "/app", "readOnly": true}],
                    }],
                    "volumes": [{"name": "app", "configMap": {"name": "checkout"}}],
                },
            },
        },
    })
}

/// The only pod of a Deployment, as the API server has it, once a kill of its container is in its status.
fn the_pod(cluster: &ExclusiveCluster, name: &str) -> Value {
    let selector = format!("app.kubernetes.io/name={name}");
    let pods = ["pods", "--namespace", NAMESPACE, "--selector", &selector];
    cluster
        .wait("the pod with its container's end", &pods, |pod| {
            let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
            (!last.is_null()).then(|| pod.clone())
        })
        .unwrap()
}

/// Names, uid and version are the API server's.
fn of_the_pod(finding: &Value, pod: &Value) {
    let meta = &pod["metadata"];
    let resource = &finding["resource"];
    for (name, expected) in [
        ("k8s.namespace.name", &json!(NAMESPACE)),
        ("k8s.deployment.name", &json!("leaky")),
        ("k8s.pod.name", &meta["name"]),
        ("k8s.pod.uid", &meta["uid"]),
        ("k8s.container.name", &json!("api")),
        ("k8s.node.name", &pod["spec"]["nodeName"]),
        ("service.version", &json!(VERSION)),
    ] {
        assert_eq!(&resource[name], expected, "{name} in {finding}");
    }
}
