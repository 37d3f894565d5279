//! What happens to pods on a node with cgroup v2: restarts by cause, a kill of a whole container, and
//! two limits changed in place.

use observer_tests::cluster::{
    ExclusiveCluster, LogStream,
    pods::{container, limited, list, namespace, pod, running, spec, with},
};
use serde_json::{Value, json};

use super::{PATIENCE, shown};

pub(super) const NAMESPACE: &str = "causes";

/// The pod, and the cause of each of its restarts.
const ENDS: [(&str, &str); 6] = [
    ("loops", "error_exit"),
    ("probed", "liveness"),
    ("family", "kernel_oom"),
    ("full", "v8_heap_oom"),
    ("beside", "error_exit"),
    ("renewed", "terminated"),
];

/// Starts them, and changes the limits of two.
pub(super) fn start(cluster: &ExclusiveCluster) {
    let of = |name: &str, spec: Value| pod(NAMESPACE, name, spec);
    let api = |words: &str| container("api", words);
    let full = with(
        api(""),
        json!({"args": ["--max-old-space-size=60", "/app/pod.js", "heap"]}),
    );
    // Emulated, a program may take long to listen.
    let probe = json!({"livenessProbe": {
        "httpGet": {"path": "/", "port": 8080}, "initialDelaySeconds": 20, "periodSeconds": 2, "failureThreshold": 1,
    }});
    let sidecar = with(container("proxy", "exit 7"), json!({"restartPolicy": "Always"}));
    let renewed = json!({"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]});
    let mut objects = namespace(NAMESPACE).unwrap();
    objects.extend([
        of("loops", spec(&[api("exit 3")])),
        of("probed", spec(&[with(api("unhealthy"), probe)])),
        of("family", spec(&[limited(api("family"), "160Mi")])),
        of("full", spec(&[limited(full, "256Mi")])),
        of(
            "beside",
            with(spec(&[api("serve")]), json!({"initContainers": [sidecar]})),
        ),
        of("renewed", spec(&[with(limited(api("serve"), "128Mi"), renewed)])),
        of("resized", spec(&[limited(api("serve"), "128Mi")])),
    ]);
    cluster.apply(&list(&objects), &[]).unwrap();
    for name in ["resized", "renewed"] {
        cluster
            .wait(name, &["pods", "--namespace", NAMESPACE], |pod| running(pod, name))
            .unwrap();
        // A life that ends before the emulated agent has looked at it is not told.
        shown(cluster, name, |workload| {
            workload["slots"][0]["current"]["run"].as_u64()
        });
        let limit = r#"{"spec":{"containers":[{"name":"api","resources":{"limits":{"memory":"160Mi"}}}]}}"#;
        let resize = [
            "patch",
            "pod",
            name,
            "--namespace",
            NAMESPACE,
            "--subresource=resize",
            "--patch",
            limit,
        ];
        cluster.ask(&resize).unwrap();
    }
}

/// Each restart, as what it was.
pub(super) fn judged(cluster: &ExclusiveCluster, agent: &mut LogStream) {
    for (name, cause) in ENDS {
        let restarted = |finding: &Value| {
            let of_it = finding["resource"]["k8s.pod.name"] == name && finding["event"] == "observer.container.restart";
            of_it.then(|| finding.clone())
        };
        let restart = agent
            .lines
            .wait_json(&format!("a restart of {name}"), PATIENCE, restarted)
            .unwrap();
        assert_eq!(restart["attributes"]["observer.exit.cause"], cause, "{restart}");
        // The container died at its limit, or of V8's; Kubernetes calls the one so, and the other an error.
        let reported = restart["attributes"]["observer.exit.reported"].as_str();
        for (of, word) in [("family", "OOMKilled"), ("full", "Error")] {
            let said = reported.filter(|_| of == name);
            assert!(said.is_none_or(|said| said.starts_with(word)), "{restart}");
        }
    }
    let family = |finding: &Value| {
        let of_it = finding["resource"]["k8s.pod.name"] == "family" && finding["event"] == "observer.process.oom_kill";
        of_it.then(|| finding.clone())
    };
    // The kubelet has all processes of a container killed with one (memory.oom.group): one kill, with its victims.
    let kill = agent
        .lines
        .wait_json("a kill of the whole container", PATIENCE, family)
        .unwrap();
    let attributes = &kill["attributes"];
    assert_eq!(attributes["observer.oom.co_victims"], 1, "{kill}");
    assert_eq!(attributes["observer.oom.main_process"], true, "{kill}");

    let resized = |workload: &Value| {
        let run = &workload["slots"][0]["current"];
        (run["cgroup_limit"] == 160_u64 << 20 && run["run"] == 1).then_some(())
    };
    shown(cluster, "resized", resized);
}
