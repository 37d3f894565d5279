//! Pods left out by their namespace or an annotation on a real node, and let in again.

use std::cell::RefCell;

use observer_tests::{
    agent::{self, Agent},
    cluster::{Cluster, Proxy},
    counterpart::KUBERNETES,
    need,
    stage::Scratch,
};
use serde_json::{Value, json};

use super::{NODE, account, kubeconfig};

/// As docs/security.md has it.
const ANNOTATION: &str = "observer.dev/observe";

#[test]
fn pods_are_left_out_by_namespace_and_by_annotation_and_let_in_again() {
    need!(Root, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("selected").unwrap();
    let who = account(&cluster, "selected", true);
    let hidden = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hidden"}});
    cluster.apply(&hidden.to_string(), &[]).unwrap();
    for pod in [
        node("seen", "default", "true"),
        node("refuses", "default", "false"),
        node("of-hidden", "hidden", "true"),
    ] {
        cluster.apply(&pod.to_string(), &[]).unwrap();
    }

    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let kubeconfig = kubeconfig(&cluster, &who, &proxy, &scratch);
    let socket = scratch.file("status.sock").display().to_string();
    let mut command = agent::command(&["run", "--output", "json", "--hooks", "off", "--status-socket", &socket]);
    command
        .args(["--sample-interval", "1s", "--kubernetes", "on", "--node-name", NODE])
        .args(["--exclude-namespaces", "hid*"])
        .env("KUBECONFIG", &kubeconfig);
    let mut agent = Agent::spawn(&mut command).unwrap();

    let mut shows = |pods: &[&str], left_out: u64| {
        assert_eq!(agent.ended().unwrap(), None, "{:?}", agent.messages.so_far());
        // Asked again with each answer of the API server.
        let last = RefCell::new(None);
        let waited = cluster.wait(&format!("{pods:?} and {left_out} left out"), &["nodes"], |_| {
            let status = last.borrow_mut().insert(status(&socket)?).clone();
            let names = names(&status);
            (names == pods && status["agent"]["left_out"] == left_out).then_some(())
        });
        let (last, said) = (last.take(), agent.messages.so_far());
        assert!(waited.is_ok(), "{waited:?}: the agent: {last:?} {said:?}");
    };
    shows(&["seen"], 2);
    let annotate = |pod: &str, value: &str| {
        let value = format!("{ANNOTATION}={value}");
        cluster.ask(&["annotate", "pod", pod, &value, "--overwrite"]).unwrap();
    };
    annotate("refuses", "true");
    shows(&["refuses", "seen"], 1);
    annotate("seen", "false");
    shows(&["refuses"], 2);
    for (pod, namespace) in [("seen", "default"), ("refuses", "default"), ("of-hidden", "hidden")] {
        cluster
            .ask(&["delete", "pod", pod, "--namespace", namespace, "--timeout=120s"])
            .unwrap();
    }
}

/// A pod of one Node.js process that does nothing.
fn node(name: &str, namespace: &str, observe: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": {ANNOTATION: observe}},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "api", "image": "docker.io/local/node:host", "imagePullPolicy": "Never",
                "args": ["-e", "setInterval(() => {}, 1000)"],
                "resources": {"limits": {"memory": "128Mi"}},
            }],
        },
    })
}

/// What `observer status --json` prints, once the agent answers.
fn status(socket: &str) -> Option<Value> {
    let output = agent::command(&["status", "--json", "--status-socket", socket])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// Names of what is shown of the pods here, sorted.
fn names(status: &Value) -> Vec<&str> {
    let workloads = status["workloads"].as_array().into_iter().flatten();
    let names = workloads.filter_map(|workload| workload["workload"]["name"].as_str());
    let mut names: Vec<&str> = names
        .filter(|name| ["seen", "refuses", "of-hidden"].contains(name))
        .collect();
    names.sort_unstable();
    names
}
