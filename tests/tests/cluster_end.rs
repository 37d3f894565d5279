//! The end of the cluster, whatever was killed before, and of a start that was killed half-way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use observer_tests::{
    app::App,
    cluster::{Cluster, DEADLINE, processes, xtask},
    counterpart::KUBERNETES,
    need, places,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Where containerd's shims have their sockets, whatever containerd is told.
const SOCKETS: &str = "/run/containerd/s";

#[test]
fn nothing_is_left_of_a_cluster_whose_parts_were_killed() {
    need!(Root, Runc, Node, Counterpart(&KUBERNETES));
    // A host may have a containerd of its own.
    let sockets = fs::exists(SOCKETS).unwrap();
    let cluster = Cluster::alone().unwrap();
    // A pod: namespaces, cgroups, mounts and a shim.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "left", "namespace": "default"},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "idle", "image": "docker.io/local/pause:1", "imagePullPolicy": "Never"}],
        },
    });
    cluster.apply(&pod.to_string(), &[]).unwrap();
    let running = |pod: &Value| (pod["status"]["phase"] == "Running").then_some(());
    cluster.wait("the pod", &["pods"], running).unwrap();
    for (pid, part) in processes() {
        if [":containerd", ":kubelet", ":kube-apiserver"]
            .iter()
            .any(|killed| part.ends_with(killed))
        {
            // Shims are children of nobody, and may have ended with their container.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
    Cluster::down().unwrap();
    nothing_is_left();
    assert!(sockets || !fs::exists(SOCKETS).unwrap(), "{SOCKETS} is left");

    // And of a start that was killed in the midst of it.
    let mut starting = App::start(&mut xtask(&["cluster", "up"])).unwrap();
    let half_way = |line: &str| line.contains("containerd answers").then_some(());
    starting.output.wait("its first parts", DEADLINE, half_way).unwrap();
    starting.kill();
    assert!(!processes().is_empty(), "parts outlive the program that started them");
    Cluster::down().unwrap();
    nothing_is_left();
}

fn nothing_is_left() {
    assert_eq!(processes(), []);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("observer-cluster"), "{mounts}");
    for path in [
        "/var/lib/observer-cluster",
        "/sys/class/net/observer0",
        "/sys/fs/cgroup/kubepods",
    ] {
        assert!(!fs::exists(path).unwrap(), "{path} is left");
    }
    let (memory, _) = places::memory_controller().unwrap();
    assert!(!memory.join("kubepods").exists());
}
