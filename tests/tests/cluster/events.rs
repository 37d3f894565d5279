//! Kubernetes Events on pods, as the real API server takes and shows them: refused, allowed, counted up by the agent after.

use std::{fs, path::Path};

use observer_tests::{
    agent::{self, Agent, DEADLINE},
    cluster::{Cluster, Proxy},
    counterpart::KUBERNETES,
    need, places,
    stage::Scratch,
};
use serde_json::{Value, json};

use super::{NODE, account, delete, kubeconfig};

/// The pod, and its container.
const POD: &str = "leaky";

#[test]
fn a_pods_events_tell_its_kills_whoever_counts_them() {
    need!(Root, Bpf, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("events").unwrap();
    let who = account(&cluster, "events", true);
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let kubeconfig = kubeconfig(&cluster, &who, &proxy, &scratch);

    // Without the right it says so, once, and keeps what it has to say.
    let mut agent = watching(&kubeconfig);
    run_leaky(&cluster);
    let refused = "the agent's service account may not create and patch events";
    says(&mut agent, refused);
    assert_eq!(doctor(&kubeconfig)["kubernetes_events"], false);
    allow(&cluster, "events");
    let first = wait(&cluster, "default", |event| of_leaky(event, "OOMKilled"));
    says(&mut agent, "Kubernetes Events are written again");
    let times = agent.messages.so_far();
    let times = times.iter().filter(|line| line.contains(refused)).count();
    assert_eq!(times, 1, "told once");
    assert_eq!(doctor(&kubeconfig)["kubernetes_events"], true);
    let message = first["message"].as_str().unwrap();
    assert!(message.contains("by the kernel at its limit of 64 MiB"), "{first}");
    agent.stop().unwrap();

    // Another agent, which may not read what is there, counts it up.
    let agent = watching(&kubeconfig);
    let count = |event: &Value| event["count"].as_i64().unwrap();
    let second = wait(&cluster, "default", |event| {
        of_leaky(event, "OOMKilled") && count(event) > count(&first)
    });
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"], "one Event for all");
    assert_eq!(second["firstTimestamp"], first["firstTimestamp"]);
    // Forgotten by the server, as each is after an hour: it is made anew.
    let name = second["metadata"]["name"].as_str().unwrap();
    cluster.ask(&["delete", "event", name]).unwrap();
    let third = wait(&cluster, "default", |event| of_leaky(event, "OOMKilled"));
    assert_ne!(third["metadata"]["uid"], first["metadata"]["uid"]);

    let described = cluster.ask(&["describe", "pod", POD]).unwrap();
    let told = described.lines().filter(|line| line.contains("OOMKilled")).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first() == Some(&"Warning") && line.contains("observer") && line.contains("at its limit of 64 MiB")
    });
    assert!(told, "{described}");
    drop(agent);
    delete(&cluster, POD);
}

/// Gives an account the right that the chart gives the agent with `kubernetesEvents.enabled`.
pub(super) fn allow(cluster: &Cluster, name: &str) {
    let part = |kind: &str, more: Value| {
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": format!("{name}-events")},
        });
        object
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        cluster.apply(&object.to_string(), &[]).unwrap();
    };
    let rule = json!({"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]});
    part("ClusterRole", json!({"rules": [rule]}));
    part(
        "ClusterRoleBinding",
        json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{name}-events")},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "observer"}],
        }),
    );
}

/// The first Event of ours in a namespace that is as wanted.
pub(super) fn wait(cluster: &Cluster, namespace: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let ours = |event: &Value| event["source"]["component"] == "observer" && wanted(event);
    let arguments = ["events", "--namespace", namespace];
    cluster
        .wait("an Event", &arguments, |event| ours(event).then(|| event.clone()))
        .unwrap()
}

fn of_leaky(event: &Value, reason: &str) -> bool {
    event["involvedObject"]["name"] == POD
        && event["involvedObject"]["fieldPath"] == "spec.containers{leaky}"
        && event["reason"] == reason
}

/// An agent on the host that writes Events with the rights of a kubeconfig.
fn watching(kubeconfig: &Path) -> Agent {
    let mut command = agent::command(&["run", "--output", "json", "--status-socket", "off"]);
    command
        .args(["--sample-interval", "1s", "--kubernetes", "on", "--node-name", NODE])
        .args(["--kubernetes-events", "true"])
        .env("KUBECONFIG", kubeconfig);
    Agent::spawn(&mut command).unwrap()
}

fn doctor(kubeconfig: &Path) -> Value {
    let output = agent::command(&["doctor", "--json", "--kubernetes", "on", "--kubernetes-events", "true"])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn says(agent: &mut Agent, what: &str) {
    agent
        .messages
        .wait(what, DEADLINE, |line| line.contains(what).then_some(()))
        .unwrap();
}

/// A pod that is killed at its limit every few seconds of life.
fn run_leaky(cluster: &Cluster) {
    let script = fs::read_to_string(places::fixtures().join("checkout.js")).unwrap();
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": POD, "namespace": "default"},
        "data": {"checkout.js": script},
    });
    cluster.apply(&files.to_string(), &[]).unwrap();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": "default"},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": POD, "image": "docker.io/local/node:host", "imagePullPolicy": "Never",
                "args": ["/app/checkout.js", "leaks"],
                "resources": {"limits": {"memory": "64Mi"}},
                "volumeMounts": [{"name": "app", "mountPath": "/app", "readOnly": true}],
            }],
            "volumes": [{"name": "app", "configMap": {"name": POD}}],
        },
    });
    cluster.apply(&pod.to_string(), &[]).unwrap();
}
