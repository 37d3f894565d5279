//! What happens to pods on a node, all of it at once: each end once, each as it was, under the names of the API server.

use std::{collections::BTreeMap, fs};

use observer_core::{Engine, Input, What, container_facts::ContainerFacts, finding::EndedRun, kernel::ExitStatus};
use observer_tests::{
    agent::{self, Agent},
    cluster::{
        Cluster, Proxy,
        pods::{container, job, limited, list, namespace, pod, running, spec, with},
    },
    counterpart::KUBERNETES,
    need, places,
    stage::Scratch,
};
use serde_json::{Value, json};

use super::{NODE, account, kubeconfig};

const NAMESPACE: &str = "causes";

/// The pod (or the beginning of its name, with a dash), the container, the cause of each of its ends, and what the kubelet
/// says of them; whether it is started again.
const ENDS: [(&str, &str, &str, &str, bool); 18] = [
    ("loops", "api", "error_exit", "Error (3)", true),
    ("aborts", "api", "crash", "Error (139)", true),
    ("probed", "api", "liveness", "Completed (0)", true),
    ("deaf", "api", "liveness", "Error (137)", true),
    ("renewed", "api", "terminated", "Completed (0)", true),
    ("begins", "prepare", "completed", "Completed (0)", false),
    ("beside", "proxy", "error_exit", "Error (7)", true),
    ("two", "worker", "kernel_oom", "OOMKilled (137)", true),
    ("shared", "helper", "error_exit", "Error (5)", true),
    ("on-host", "api", "error_exit", "Error (6)", true),
    ("full", "api", "v8_heap_oom", "Error (139)", true),
    ("once", "api", "error_exit", "Error (9)", false),
    ("drained", "api", "evicted", "", false),
    ("static-observer-node", "api", "error_exit", "Error (8)", true),
    ("done-", "api", "completed", "Completed (0)", false),
    ("failed-", "api", "error_exit", "Error (4)", false),
    ("nightly-29932030-", "api", "completed", "Completed (0)", false),
    // What a finished Job no longer needs is stopped, and failed no probe.
    ("accompanied-", "proxy", "terminated", "Completed (0)", false),
];

#[test]
fn each_end_of_a_pods_container_is_reported_once_as_what_it_was() {
    need!(Root, Bpf, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("causes").unwrap();
    let who = account(&cluster, "causes", true);
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let kubeconfig = kubeconfig(&cluster, &who, &proxy, &scratch);
    let mut command = agent::command(&["run", "--output", "json", "--status-socket", "off"]);
    command
        .args(["--sample-interval", "500ms", "--kubernetes", "on", "--node-name", NODE])
        .env("KUBECONFIG", &kubeconfig);
    let mut agent = Agent::spawn(&mut command).unwrap();

    cluster.apply(&list(&objects()), &[]).unwrap();
    fs::copy(places::fixtures().join("pod.js"), scratch.file("pod.js")).unwrap();
    let directory = json!({"volumes": [{"name": "app", "hostPath": {"path": scratch.path()}}]});
    let of_file = with(spec(&[container("api", "exit 8")]), directory);
    let _static = cluster
        .give_static_pod("static", &pod(NAMESPACE, "static", of_file))
        .unwrap();
    let from = "--from=cronjob/nightly";
    let space = "--namespace=causes";
    cluster
        .ask(&["create", "job", space, from, "nightly-29932030"])
        .unwrap();

    for name in ["resized", "renewed", "drained"] {
        cluster.wait(name, &["pods", space], |pod| running(pod, name)).unwrap();
    }
    let limit = r#"{"spec":{"containers":[{"name":"api","resources":{"limits":{"memory":"160Mi"}}}]}}"#;
    for name in ["resized", "renewed"] {
        cluster
            .ask(&["patch", "pod", name, space, "--subresource=resize", "--patch", limit])
            .unwrap();
    }
    cluster.evict(NAMESPACE, "drained").unwrap();

    for (pod, container, _, _, again) in ENDS {
        wait(&mut agent, pod, container, again);
    }
    let pods: Value = serde_json::from_str(&cluster.ask(&["get", "pods", space, "-o", "json"]).unwrap()).unwrap();
    let stopped = agent.stop().unwrap();
    let (ended, engine) = replayed(&fs::read_to_string(&stopped.recording).unwrap());
    cluster
        .ask(&["delete", "namespace", NAMESPACE, "--wait=false"])
        .unwrap();

    for (pod, container, cause, reported, again) in ENDS {
        let runs = runs_of(&ended, pod, container);
        assert!(!runs.is_empty(), "{pod}/{container}");
        for (n, ended) in runs.iter().enumerate() {
            let run = &ended.run;
            // What comes after a run decides how it ended. The last of several has nothing after it yet: its container may wait
            // in its back-off.
            let is_decided = n == 0 || n + 1 < runs.len();
            assert!(!is_decided || run.cause().name() == cause, "{pod}: {cause}: {run:?}");
            assert_eq!(run.run, n as u64 + 1, "{pod}: each once: {run:?}");
            // What is asked to go before it has begun to listen for that is killed.
            let killed = cause == "liveness" && run.end.status == Some(ExitStatus::Signal(9));
            let expected = if killed { "Error (137)" } else { reported };
            if let Some(said) = run.reported.as_deref().filter(|_| !reported.is_empty()) {
                assert_eq!(said, expected, "{pod}: {run:?}");
            }
        }
        assert!(again || runs.len() == 1, "{pod}: {runs:?}");
    }
    // What nobody ended has not ended.
    for (pod, container) in [
        ("two", "api"),
        ("shared", "api"),
        ("begins", "api"),
        ("beside", "api"),
        ("resized", "api"),
    ] {
        let runs = runs_of(&ended, pod, container);
        assert!(runs.is_empty(), "{pod}: {runs:?}");
    }
    let workloads = engine.workloads();
    let resized = workloads.iter().find(|w| w.workload.name == "resized").unwrap();
    let run = resized.slots[0].current.as_ref().unwrap();
    assert_eq!((run.run, run.cgroup_limit), (1, Some(160 << 20)));
    let kind = |name: &str| {
        workloads
            .iter()
            .find(|w| w.workload.name == name)
            .map(|w| w.workload.kind.clone())
    };
    for (name, expected) in [
        ("nightly", "CronJob"),
        ("done", "Job"),
        ("static-observer-node", "Pod"),
        ("two", "Pod"),
    ] {
        assert_eq!(kind(name).as_deref(), Some(expected), "{name}");
    }
    let findings = stopped.findings.iter().map(|line| serde_json::from_str(line).unwrap());
    for finding in findings.filter(|finding: &Value| finding["resource"]["k8s.namespace.name"] == NAMESPACE) {
        of_the_api(&finding["resource"], &pods);
        // No container without a limit is told what to do about one.
        let unlimited =
            !["two", "resized", "renewed", "full"].contains(&finding["resource"]["k8s.pod.name"].as_str().unwrap());
        assert!(
            !(unlimited && finding["event"] == "observer.memory.misfit"),
            "{finding}"
        );
    }
}

fn objects() -> Vec<Value> {
    let one = |name: &str, words: &str| pod(NAMESPACE, name, spec(&[container("api", words)]));
    let of = |name: &str, spec: Value| pod(NAMESPACE, name, spec);
    let api = |words: &str| container("api", words);
    let probe = json!({"livenessProbe": {
        "httpGet": {"path": "/", "port": 8080}, "initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 1,
    }});
    let sidecar =
        |words: &str| json!({"initContainers": [with(container("proxy", words), json!({"restartPolicy": "Always"}))]});
    let renewed = json!({"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]});
    let full = with(
        api(""),
        json!({"args": ["--max-old-space-size=60", "/app/pod.js", "heap"]}),
    );
    let mut objects = namespace(NAMESPACE).unwrap();
    objects.extend([
        one("loops", "exit 3"),
        one("aborts", "abort"),
        of("probed", spec(&[with(api("unhealthy"), probe.clone())])),
        of("deaf", spec(&[with(api("deaf"), probe)])),
        of("resized", spec(&[limited(api("serve"), "128Mi")])),
        of("renewed", spec(&[with(limited(api("serve"), "128Mi"), renewed)])),
        of(
            "begins",
            with(
                spec(&[api("serve")]),
                json!({"initContainers": [container("prepare", "exit 0")]}),
            ),
        ),
        of("beside", with(spec(&[api("serve")]), sidecar("exit 7"))),
        of(
            "two",
            spec(&[
                limited(api("serve"), "128Mi"),
                limited(container("worker", "buffers"), "96Mi"),
            ]),
        ),
        of(
            "shared",
            with(
                spec(&[api("serve"), container("helper", "exit 5")]),
                json!({"shareProcessNamespace": true}),
            ),
        ),
        of("on-host", with(spec(&[api("exit 6")]), json!({"hostNetwork": true}))),
        of("full", spec(&[limited(full, "256Mi")])),
        of("once", with(spec(&[api("exit 9")]), json!({"restartPolicy": "Never"}))),
        one("drained", "serve"),
        job(NAMESPACE, "done", spec(&[api("exit 0")])),
        job(NAMESPACE, "failed", spec(&[api("exit 4")])),
        job(NAMESPACE, "accompanied", with(spec(&[api("exit 0")]), sidecar("serve"))),
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": NAMESPACE},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {
                "spec": job(NAMESPACE, "nightly", spec(&[api("exit 0")]))["spec"],
            }},
        }),
    ]);
    objects
}

/// Waits until the agent has all that there is to know of a container's first end.
fn wait(agent: &mut Agent, pod: &str, container: &str, again: bool) {
    let what = format!("the end of {pod}/{container}");
    if again {
        let restarted = |finding: &Value| {
            let resource = &finding["resource"];
            let of_it = is_of(pod, resource["k8s.pod.name"].as_str()?) && resource["k8s.container.name"] == container;
            (of_it && finding["event"] == "observer.container.restart").then_some(())
        };
        agent.wait_finding(&what, restarted).unwrap();
        return;
    }
    let over = |facts: &ContainerFacts| {
        let of_it = is_of(pod, &facts.pod.as_ref()?.name) && facts.name == container;
        let over = facts.deleted || facts.last_termination.is_some();
        (of_it && over).then_some(())
    };
    let told = |input: &Input| match &input.what {
        What::Container(facts) => over(facts),
        _ => None,
    };
    agent.wait_input(&what, told).unwrap();
}

/// Of a pod by its name, or by the beginning of it.
fn is_of(pod: &str, name: &str) -> bool {
    name == pod || pod.ends_with('-') && name.starts_with(pod)
}

/// All runs that ended, and the engine as it stands.
pub(super) fn replayed(recording: &str) -> (Vec<EndedRun>, Engine) {
    let mut engine = Engine::new();
    let inputs = recording.lines().map(|line| serde_json::from_str(line).unwrap());
    let ended = inputs.flat_map(|input: Input| engine.step(&input).ended).collect();
    (ended, engine)
}

fn runs_of<'a>(ended: &'a [EndedRun], pod: &str, container: &str) -> Vec<&'a EndedRun> {
    let of = |ended: &&EndedRun| {
        let resource = &ended.subject.resource;
        let name = resource.get("k8s.pod.name");
        name.is_some_and(|name| is_of(pod, name))
            && resource.get("k8s.container.name").is_some_and(|name| name == container)
    };
    ended.iter().filter(of).collect()
}

/// Names and uids are those of the API server's object.
fn of_the_api(resource: &Value, pods: &Value) {
    let items = pods["items"].as_array().unwrap().iter();
    let by_name: BTreeMap<&str, &Value> = items
        .map(|pod| (pod["metadata"]["name"].as_str().unwrap(), pod))
        .collect();
    let Some(pod) = by_name.get(resource["k8s.pod.name"].as_str().unwrap()) else {
        // Gone since.
        return;
    };
    // Before the API server has told of it, a static pod is known by its configuration's hash.
    if !resource["k8s.node.name"].is_null() {
        assert_eq!(resource["k8s.pod.uid"], pod["metadata"]["uid"], "{resource}");
        assert_eq!(resource["k8s.node.name"], pod["spec"]["nodeName"], "{resource}");
    }
    let owner = &pod["metadata"]["ownerReferences"][0];
    if owner["kind"] == "Job" {
        assert_eq!(resource["k8s.job.name"], owner["name"], "{resource}");
    }
}
