//! A real Kubernetes node and its API server: names, versions and limits as the agent learns them there, whatever
//! becomes of the server, and the agent as a DaemonSet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attack;
mod bad_days;
mod bookmarks;
mod causes;
mod chart;
mod downgrade;
mod events;
mod mid_leak;
mod own_end;
mod plugin;
#[path = "../published/mod.rs"]
mod published;
mod rollouts;
mod selected;
mod updates;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use observer_tests::{
    agent::{self, Agent},
    cluster::{Cluster, Proxy},
    stage::Scratch,
};
use serde_json::{Value, json};

/// The cluster's only node.
const NODE: &str = "observer-node";

/// An agent on the host that reaches the API server through a proxy, with the rights of a service account.
fn agent_as(cluster: &Cluster, account: &str, node: &str, proxy: &Proxy, scratch: &Scratch) -> Agent {
    agent_with(&kubeconfig(cluster, account, proxy, scratch), node)
}

/// The file by which an account reaches the API server through a proxy.
fn kubeconfig(cluster: &Cluster, account: &str, proxy: &Proxy, scratch: &Scratch) -> PathBuf {
    let file = scratch.file("kubeconfig");
    cluster.kubeconfig_of(account, proxy.port, &file).unwrap();
    file
}

fn agent_with(kubeconfig: &Path, node: &str) -> Agent {
    let mut command = agent::command(&["run", "--output", "json", "--hooks", "off", "--status-socket", "off"]);
    command
        .args(["--sample-interval", "1s", "--kubernetes", "on", "--node-name", node])
        .env("KUBECONFIG", kubeconfig);
    Agent::spawn(&mut command).unwrap()
}

/// A service account of its own, so that its requests can be told from others'.
fn account(cluster: &Cluster, name: &str, allowed: bool) -> String {
    // Two that create the same at once refuse one another.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let namespace = "observer";
    let alone = ONE_AT_A_TIME.lock();
    cluster.apply(&rights(), &[]).unwrap();
    drop(alone);
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
    cluster.apply(&account.to_string(), &[]).unwrap();
    if allowed {
        allow(cluster, name);
    }
    format!("{namespace}/{name}")
}

/// Gives an account the rights that the manifest gives the agent.
fn allow(cluster: &Cluster, name: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "observer"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "observer"}],
    });
    cluster.apply(&binding.to_string(), &[]).unwrap();
}

/// Everything of the manifest but the DaemonSet itself.
fn rights() -> String {
    let manifest = manifest();
    let parts = manifest.split("\n---\n");
    parts
        .filter(|part| !part.contains("kind: DaemonSet"))
        .collect::<Vec<_>>()
        .join("\n---\n")
}

fn manifest() -> String {
    let path = observer_tests::places::workspace().join("deploy/kubernetes/observer.yaml");
    std::fs::read_to_string(path).unwrap()
}

/// A pod of one container that does nothing.
fn idle(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "idle", "image": "docker.io/local/pause:1", "imagePullPolicy": "Never",
                "resources": {"limits": {"memory": "32Mi"}},
            }],
        },
    })
}

/// Starts it and waits for its container.
fn run_idle(cluster: &Cluster, name: &str) -> String {
    cluster.apply(&idle(name).to_string(), &[]).unwrap();
    let id = |pod: &Value| {
        let of_it = pod["metadata"]["name"] == name;
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str()?;
        let running = !pod["status"]["containerStatuses"][0]["state"]["running"].is_null();
        (of_it && running).then(|| id.strip_prefix("containerd://").map(str::to_owned))?
    };
    cluster.wait("the container's start", &["pods"], id).unwrap()
}

fn delete(cluster: &Cluster, name: &str) {
    cluster
        .ask(&["delete", "pod", name, "--wait=true", "--timeout=120s"])
        .unwrap();
}
