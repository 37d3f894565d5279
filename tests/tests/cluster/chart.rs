//! The chart on a real cluster: installed, upgraded and removed as people do.

use std::fs;

use observer_tests::{
    backend,
    cluster::Cluster,
    counterpart::{HELM, KUBERNETES},
    need, places,
    stage::Scratch,
};
use serde_json::Value;

/// A release of its own, so that it stands beside the manifest's.
const RELEASE: &str = "trial";
const AGENT: &str = "daemonset/trial-observer";

#[test]
fn the_chart_is_installed_upgraded_and_removed() {
    need!(Root, Bpf, Runc, Counterpart(&KUBERNETES), Counterpart(&HELM));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("chart").unwrap();
    cluster.load_agent(scratch.path()).unwrap();
    let chart = places::workspace().join("deploy/helm/observer").display().to_string();
    let store = format!("store.hostPath={}", scratch.file("store").display());
    let namespace = ["--namespace", RELEASE];
    let helm = |arguments: &[&str]| cluster.helm(&[arguments, &namespace].concat()).unwrap();

    // Two values: where the image is, and here a store that nobody had before. Waiting takes the startup and readiness
    // probes to be answered.
    let wait = ["--wait", "--timeout", "5m"];
    let values = ["--set", "image.tag=dev", "--set", &store];
    let install = ["install", RELEASE, &chart, "--create-namespace"];
    let notes = helm(&[&install[..], &values, &wait].concat());
    let next = format!("kubectl exec --namespace {RELEASE} {AGENT} -- /observer ps");
    assert!(notes.contains(&next), "{notes}");
    // The command that the notes tell.
    ask_agent(&cluster, "ps");

    let address = cluster
        .wait("the pod's address", &["pods", "--namespace", RELEASE], |pod| {
            pod["status"]["podIP"].as_str().map(str::to_owned)
        })
        .unwrap();
    let (code, metrics) = backend::get(&format!("{address}:9464"), "/metrics").unwrap();
    assert_eq!(code, 200);
    assert!(metrics.contains("observer_agent_inputs_total"), "{metrics}");

    // Another setting: another pod, which goes on with the state of the one before. Under the chart's own seccomp profile.
    let profile = fs::read_to_string(places::workspace().join("deploy/helm/observer/files/seccomp.json")).unwrap();
    cluster.give_seccomp_profile("observer.json", &profile).unwrap();
    let upgrade = [
        "upgrade",
        RELEASE,
        &chart,
        "--set",
        "settings.sample-interval=5s,kubernetesEvents.enabled=true",
        "--set",
        "seccompProfile.type=Localhost,seccompProfile.localhostProfile=observer.json",
    ];
    helm(&[&upgrade[..], &values, &wait].concat());
    cluster
        .ask(&["rollout", "status", AGENT, "--namespace", RELEASE, "--timeout=180s"])
        .unwrap();
    let told = cluster.ask(&["logs", "--namespace", RELEASE, AGENT]).unwrap();
    assert!(
        told.contains("observer.gap"),
        "nothing is told of the time between the two: {told}"
    );
    let doctor = cluster.kubectl(&[
        "exec",
        "--namespace",
        RELEASE,
        AGENT,
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

    helm(&["uninstall", RELEASE, "--wait"]);
    // Pods end after the DaemonSet that owned them.
    let pods = [
        "wait",
        "--for=delete",
        "pod",
        "--selector=app.kubernetes.io/instance=trial",
        "--timeout=120s",
    ];
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
    assert!(!left.contains("trial-observer"), "{left}");
}

/// `observer WHAT` in the agent's own container.
fn ask_agent(cluster: &Cluster, what: &str) -> String {
    cluster
        .ask(&["exec", "--namespace", RELEASE, AGENT, "--", "/observer", what])
        .unwrap()
}
