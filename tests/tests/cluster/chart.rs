//! The chart on a real cluster: installed, upgraded and removed as people do.

use std::fs;

use observer_tests::{
    backend,
    cluster::Cluster,
    counterpart::{Counterpart, HELM, HELM3, KUBERNETES},
    need, places,
    stage::Scratch,
};
use serde_json::Value;

#[test]
fn the_chart_is_installed_upgraded_and_removed() {
    need!(Root, Bpf, Runc, Counterpart(&KUBERNETES), Counterpart(&HELM));
    comes_and_goes(&HELM, "trial");
}

/// The version that most clusters have.
#[test]
fn helm_3_installs_upgrades_and_removes_the_chart() {
    need!(Root, Bpf, Runc, Counterpart(&KUBERNETES), Counterpart(&HELM3));
    comes_and_goes(&HELM3, "trial3");
}

/// Under a name of its own, so that it stands beside the manifest's and another's.
fn comes_and_goes(helm: &Counterpart, release: &str) {
    let agent = format!("daemonset/{release}-observer");
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("chart").unwrap();
    cluster.load_agent(scratch.path()).unwrap();
    let chart = places::workspace().join("deploy/helm/observer").display().to_string();
    let store = format!("store.hostPath={}", scratch.file("store").display());
    let namespace = ["--namespace", release];
    let helm = |arguments: &[&str]| cluster.helm(helm, &[arguments, &namespace].concat()).unwrap();
    // Helm 3 takes a DaemonSet for ready while as many pods are not as may be unavailable: one, and here there is one.
    let rolled_out = || {
        let status = ["rollout", "status", &agent, "--timeout=180s"];
        cluster.ask(&[&status[..], &namespace].concat()).unwrap()
    };

    // Two values: where the image is, and here a store that nobody had before. Waiting takes the startup and readiness
    // probes to be answered.
    let wait = ["--wait", "--timeout", "5m"];
    let values = ["--set", "image.tag=dev", "--set", &store];
    let install = ["install", release, &chart, "--create-namespace"];
    let notes = helm(&[&install[..], &values, &wait].concat());
    let next = format!("kubectl exec --namespace {release} {agent} -- /observer ps");
    assert!(notes.contains(&next), "{notes}");
    rolled_out();
    // The command that the notes tell.
    cluster
        .ask(&[&["exec"], &namespace[..], &[&agent, "--", "/observer", "ps"]].concat())
        .unwrap();

    let address = cluster
        .wait("the pod's address", &["pods", "--namespace", release], |pod| {
            pod["status"]["podIP"].as_str().map(str::to_owned)
        })
        .unwrap();
    let (code, metrics) = backend::get(&format!("{address}:9464"), "/metrics").unwrap();
    assert_eq!(code, 200);
    assert!(metrics.contains("observer_agent_inputs_total"), "{metrics}");

    // Another setting: another pod, which goes on with the state of the one before. Under the chart's own seccomp profile.
    let profile = fs::read_to_string(places::workspace().join("deploy/helm/observer/files/seccomp.json")).unwrap();
    let file = format!("{release}.json");
    cluster.give_seccomp_profile(&file, &profile).unwrap();
    let localhost = format!("seccompProfile.type=Localhost,seccompProfile.localhostProfile={file}");
    let upgrade = [
        "upgrade",
        release,
        &chart,
        "--set",
        "settings.sample-interval=5s,kubernetesEvents.enabled=true",
        "--set",
        &localhost,
    ];
    helm(&[&upgrade[..], &values, &wait].concat());
    rolled_out();
    let told = cluster.ask(&["logs", "--namespace", release, &agent]).unwrap();
    assert!(
        told.contains("observer.gap"),
        "nothing is told of the time between the two: {told}"
    );
    let doctor = cluster.kubectl(&[
        "exec",
        "--namespace",
        release,
        &agent,
        "--",
        "/observer",
        "doctor",
        "--json",
    ]);
    // It may end with 3 where the kernel lacks something.
    let doctor = doctor.unwrap().output().unwrap().stdout;
    let doctor: Value = serde_json::from_slice(&doctor).unwrap();
    assert_eq!(doctor["kubernetes_events"], true, "{doctor}");
    let hooks = doctor["hooks"].as_array().unwrap();
    assert!(hooks.iter().all(|hook| hook["rung"] == "tp_btf"), "{doctor}");

    helm(&["uninstall", release, "--wait"]);
    // Pods end after the DaemonSet that owned them.
    let selector = format!("--selector=app.kubernetes.io/instance={release}");
    let pods = ["wait", "--for=delete", "pod", &selector, "--timeout=120s"];
    cluster.ask(&[&pods[..], &namespace].concat()).unwrap();
    let left = cluster
        .ask(&[
            "get",
            "all,clusterrole,clusterrolebinding,networkpolicy",
            "--all-namespaces",
            "-o",
            "name",
        ])
        .unwrap();
    assert!(!left.contains(&format!("{release}-observer")), "{left}");
}
