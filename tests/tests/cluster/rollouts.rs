//! The agent as a DaemonSet, its image and manifest as they are; three rollouts of a Deployment by the real kubelet, one
//! of which brings a leak and one of which ends it.

use std::fs;

use observer_tests::{
    cluster::{Cluster, DEADLINE},
    counterpart::KUBERNETES,
    need, places,
    receiver::Receiver,
    rollouts::{self, CLEAN, CLEAN_FOR, FIXED, LEAKING, LIMIT, TIME_SCALE, argument, said},
    stage::Scratch,
};
use serde_json::{Value, json};

use super::{NODE, manifest};

/// The Deployment.
pub(super) const SERVICE: &str = "checkout";

#[test]
fn a_deployment_whose_second_rollout_leaks_and_whose_third_does_not() {
    need!(Root, Bpf, Runc, Node, OtlpPython, Counterpart(&KUBERNETES));
    // Its time is compressed a thousandfold: kills of other tests beside it would be minutes of its own.
    let cluster = Cluster::alone().unwrap();
    let scratch = Scratch::new("daemonset").unwrap();
    cluster.load_agent(scratch.path()).unwrap();
    let address = cluster.node_address().unwrap();
    let mut receiver = Receiver::start(&["--host", &address]).unwrap();

    // Unknown fields, and privileges that the Pod Security admission refuses, would be told here.
    let endpoint = format!("http://{address}:{}", receiver.port);
    let told = cluster
        .apply(&for_test(&endpoint, &scratch), &["--validate=strict"])
        .unwrap();
    assert!(!told.to_lowercase().contains("warning"), "{told}");
    rolled_out(&cluster, "observer", "daemonset/observer");
    super::events::allow(&cluster, "observer");
    the_agent_may_do_no_more_than_it_needs(&cluster);
    let mut agent = cluster.follow("observer", "daemonset/observer").unwrap();

    shop(&cluster);
    for version in [CLEAN, LEAKING, FIXED] {
        cluster.apply(&deployment(version).to_string(), &[]).unwrap();
        rolled_out(&cluster, "shop", "deployment/checkout");
        let awaited = match version {
            CLEAN => {
                // Its time is what is judged, and passes.
                std::thread::sleep(CLEAN_FOR);
                continue;
            }
            LEAKING => "observer.memory.leak_confirmed",
            _ => "observer.memory.leak_resolved",
        };
        agent
            .lines
            .wait_json(awaited, DEADLINE, |finding| {
                said(finding, SERVICE, awaited, version).then_some(())
            })
            .unwrap();
        receiver
            .wait(awaited, |record| said(record, SERVICE, awaited, version).then_some(()))
            .unwrap();
    }

    let names = [
        ("service.namespace", "shop"),
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", SERVICE),
        ("k8s.container.name", "api"),
        ("k8s.node.name", NODE),
        ("host.name", NODE),
        ("container.runtime.name", "containerd"),
        ("container.image.name", "docker.io/local/node"),
    ];
    let printed = agent.lines.json_so_far();
    let exported: Vec<Value> = receiver
        .so_far()
        .into_iter()
        .filter(|record| record["signal"] == "log")
        .collect();
    for (findings, who) in [(&printed, "printed"), (&exported, "exported")] {
        let faults = rollouts::faults(findings, SERVICE, &names);
        assert!(faults.is_empty(), "{who}:\n{}", faults.join("\n"));
        for finding in findings.iter().filter(|finding| rollouts::is_of(finding, SERVICE)) {
            pod_of(finding);
        }
    }
    the_clusters_own_word_stands_beside_ours(&printed);
    what_the_agent_shows(&cluster);
    super::plugin::shows(&cluster, &scratch, SERVICE, "shop");
    for (reason, kind) in [
        ("OOMKilled", "Warning"),
        ("MemoryLeakConfirmed", "Warning"),
        ("MemoryLeakResolved", "Normal"),
    ] {
        let event = super::events::wait(&cluster, "shop", |event| event["reason"] == reason);
        assert_eq!(event["type"], kind, "{event}");
        assert_eq!(event["involvedObject"]["fieldPath"], "spec.containers{api}", "{event}");
        let told = event["message"].as_str().unwrap();
        let printed = printed.iter().any(|finding| finding["body"] == told);
        assert!(printed, "not a sentence of the agent's: {event}");
    }
}

/// The namespace of the Deployment, with its program.
pub(super) fn shop(cluster: &Cluster) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    cluster.apply(&namespace.to_string(), &[]).unwrap();
    let script = fs::read_to_string(places::fixtures().join("checkout.js")).unwrap();
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout", "namespace": "shop"},
        "data": {"checkout.js": script},
    });
    cluster.apply(&files.to_string(), &[]).unwrap();
}

/// The manifest, with where to send, how fast to judge, and a store that nobody had before.
pub(super) fn for_test(endpoint: &str, scratch: &Scratch) -> String {
    let plain = "args: [run, --output, json]";
    let store = "path: /var/lib/observer\n";
    let manifest = manifest();
    assert!(manifest.contains(plain) && manifest.contains(store), "{manifest}");
    let manifest = manifest.replace(store, &format!("path: {}\n", scratch.file("store").display()));
    manifest.replace(
        plain,
        &format!(
            "args: [run, --output, json, --sample-interval, 250ms, --time-scale, '{TIME_SCALE}', \
             --metrics-interval, 2s, --kubernetes-events, 'true', --otlp-endpoint, '{endpoint}']"
        ),
    )
}

pub(super) fn deployment(version: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": SERVICE, "namespace": "shop"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": SERVICE}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": SERVICE, "app.kubernetes.io/version": version}},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 20,
                    "containers": [{
                        "name": "api", "image": "docker.io/local/node:host", "imagePullPolicy": "Never",
                        "args": ["/app/checkout.js", argument(version)],
                        "resources": {"limits": {"memory": LIMIT.to_string()}},
                        "volumeMounts": [{"name": "app", "mountPath": "/app", "readOnly": true}],
                    }],
                    "volumes": [{"name": "app", "configMap": {"name": "checkout"}}],
                },
            },
        },
    })
}

pub(super) fn rolled_out(cluster: &Cluster, namespace: &str, what: &str) {
    let namespace = format!("--namespace={namespace}");
    cluster
        .ask(&["rollout", "status", what, &namespace, "--timeout=180s"])
        .unwrap();
}

/// The pod's name is that of its ReplicaSet, and its instance is told by it.
fn pod_of(finding: &Value) {
    let of = |name: &str| finding["resource"][name].as_str().unwrap_or_default();
    let (pod, set) = (of("k8s.pod.name"), of("k8s.replicaset.name"));
    assert!(
        set.starts_with("checkout-") && pod.starts_with(&format!("{set}-")),
        "{finding}"
    );
    assert_eq!(of("service.instance.id"), format!("shop.{pod}.api"), "{finding}");
    assert_eq!(
        (of("k8s.pod.uid").len(), of("container.id").len()),
        (36, 64),
        "{finding}"
    );
}

/// The kubelet's verdict, where it came in time, is kept and does not replace the kernel's.
fn the_clusters_own_word_stands_beside_ours(printed: &[Value]) {
    let confirmed = printed
        .iter()
        .find(|f| said(f, SERVICE, "observer.memory.leak_confirmed", LEAKING))
        .unwrap();
    let causes = confirmed["attributes"]["observer.leak.run.causes"].as_array().unwrap();
    assert!(causes.iter().all(|cause| cause == "kernel_oom"), "{confirmed}");
    let told = printed
        .iter()
        // Others' pods end as well, each in its own way.
        .filter(|f| f["resource"]["service.name"] == SERVICE)
        .filter_map(|f| f["attributes"]["observer.exit.reported"].as_str());
    for reported in told {
        assert!(reported.ends_with("(137)"), "{reported}");
    }
}

/// `observer ps` in the agent's own container.
fn what_the_agent_shows(cluster: &Cluster) {
    let ask = [
        "exec",
        "--namespace=observer",
        "daemonset/observer",
        "--",
        "/observer",
        "ps",
    ];
    let page = cluster.ask(&ask).unwrap();
    assert!(
        page.lines()
            .any(|line| line.contains("checkout") && line.contains(FIXED)),
        "{page}"
    );
    let json = cluster.ask(&[&ask[..], &["--json"]].concat()).unwrap();
    let workloads: Value = serde_json::from_str(&json).unwrap();
    let checkout = workloads
        .as_array()
        .unwrap()
        .iter()
        .find(|w| w["service"] == SERVICE)
        .unwrap();
    let releases = checkout["releases"].as_array().unwrap();
    let of = |at: usize, what: &str| releases[at][what].clone();
    assert_eq!(
        [of(0, "version"), of(1, "version"), of(2, "version")],
        [CLEAN, LEAKING, FIXED],
        "{checkout}"
    );
    assert_eq!(
        [of(0, "state"), of(1, "state"), of(2, "state")],
        ["quiet", "confirmed", "quiet"],
        "{checkout}"
    );
    assert_eq!(
        of(0, "ends"),
        json!([["rollout", 1]]),
        "SIGTERM during a rollout: {checkout}"
    );
    assert_eq!((of(0, "live"), of(2, "live")), (json!(0), json!(1)), "{checkout}");
}

fn the_agent_may_do_no_more_than_it_needs(cluster: &Cluster) {
    let may = |verb: &str, what: &str, part: &str| {
        let account = "--as=system:serviceaccount:observer:observer";
        let part = format!("--subresource={part}");
        // It answers `no` with a status of failure.
        cluster
            .ask(&["auth", "can-i", verb, what, &part, account, "--all-namespaces"])
            .is_ok()
    };
    for (verb, what, part, expected) in [
        ("list", "pods", "", true),
        ("watch", "pods", "", true),
        ("get", "nodes", "", true),
        ("list", "secrets", "", false),
        ("create", "pods", "", false),
        ("create", "pods", "exec", false),
        ("get", "nodes", "proxy", false),
    ] {
        assert_eq!(may(verb, what, part), expected, "{verb} {what} {part}");
    }
}
