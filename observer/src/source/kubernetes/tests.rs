//! Pods as the API server tells them, and a scripted API server that loses its watch in every way it can. The real one:
//! the crate `tests`, on a cluster.

mod statuses;

use std::sync::{Arc, Mutex};

use observer_core::container_facts::Origin;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

const UID: &str = "0f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f";

/// A pod of a Deployment with one running container.
fn pod(name: &str, uid: &str, container: &str, restarts: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid, "resourceVersion": "7",
            "labels": {"app": "api", "pod-template-hash": "7d9c5f", "team": "not kept"},
            "annotations": {
                "resource.opentelemetry.io/service.version": "1.42.0",
                "kubectl.kubernetes.io/last-applied-configuration": "not kept",
            },
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api-7d9c5f", "uid": "rs-1", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{
                "name": "api", "image": "shop/api:1.42.0", "env": [{"name": "PASSWORD", "value": "not kept"}],
                "resources": {"limits": {"memory": "512Mi"}, "requests": {"memory": "256Mi"}},
            }],
        },
        "status": {
            "startTime": "2026-05-01T10:00:00Z",
            "containerStatuses": [{
                "name": "api", "image": "docker.io/shop/api:1.42.0", "ready": true, "restartCount": restarts,
                "imageID": "docker.io/shop/api@sha256:abcd", "containerID": format!("containerd://{container}"),
                "lastState": {"terminated": {
                    "containerID": "containerd://before", "exitCode": 137, "reason": "OOMKilled",
                    "startedAt": "2026-05-01T10:00:00Z", "finishedAt": "2026-05-01T11:00:00Z",
                }},
            }],
        },
    })
}

fn facts(pod: &Value) -> Vec<ContainerFacts> {
    pod::containers(&serde_json::from_value(pod.clone()).unwrap())
}

#[test]
fn a_pod_of_a_deployment() {
    let all = facts(&pod("api-7d9c5f-x", UID, "c1", 3));
    let [facts] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        (facts.id.as_str(), facts.name.as_str(), facts.origin),
        ("c1", "api", Origin::Kubernetes)
    );
    assert_eq!(facts.image_digest.as_deref(), Some("sha256:abcd"));
    assert_eq!(facts.repo_digest.as_deref(), Some("docker.io/shop/api@sha256:abcd"));
    assert_eq!(
        (facts.memory_limit, facts.memory_request, facts.restart_count),
        (Some(512 << 20), Some(256 << 20), Some(3))
    );
    let last = facts.last_termination.as_ref().unwrap();
    assert_eq!(
        (last.reason.as_deref(), last.exit_code, last.container_id.as_deref()),
        (Some("OOMKilled"), 137, Some("before"))
    );
    assert_eq!(last.finished.unwrap().0 - last.started.unwrap().0, 3_600_000_000_000);
    let pod = facts.pod.as_ref().unwrap();
    assert_eq!(pod.workload(), ("Deployment", "api"));
    assert_eq!(
        (pod.uid.as_str(), pod.node.as_str(), pod.template_hash.as_deref()),
        (UID, "node-1", Some("7d9c5f"))
    );
    assert_eq!(pod.annotations["resource.opentelemetry.io/service.version"], "1.42.0");
    assert!(!serde_json::to_string(facts).unwrap().contains("not kept"));
}

#[test]
fn every_owner() {
    let owned = |kind: &str, name: &str, hash: &str| {
        let mut pod = pod("p", UID, "c1", 0);
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "x", "kind": kind, "name": name, "uid": "u"}]);
        pod["metadata"]["labels"] = json!({"pod-template-hash": hash});
        let facts = facts(&pod).remove(0).pod.unwrap();
        let (kind, name) = facts.workload();
        format!("{kind}/{name}")
    };
    assert_eq!(owned("ReplicaSet", "web-front-5d4", "5d4"), "Deployment/web-front");
    assert_eq!(
        owned("ReplicaSet", "hand-made", "5d4"),
        "ReplicaSet/hand-made",
        "no Deployment's"
    );
    assert_eq!(owned("StatefulSet", "db", ""), "StatefulSet/db");
    assert_eq!(owned("DaemonSet", "agent", ""), "DaemonSet/agent");
    assert_eq!(owned("Job", "report-29063520", ""), "CronJob/report");
    assert_eq!(owned("Job", "migrate-2", ""), "Job/migrate-2");
    assert_eq!(owned("Node", "node-1", ""), "Pod/p", "a static pod");
    assert_eq!(owned("Rollout", "argo", ""), "Rollout/argo", "a kind of somebody's own");
    let mut bare = pod("bare", UID, "c1", 0);
    bare["metadata"]["ownerReferences"] = json!(null);
    assert_eq!(facts(&bare)[0].pod.as_ref().unwrap().workload(), ("Pod", "bare"));
}

fn event(kind: &str, pod: &Value) -> watcher::Event<Pod> {
    let pod = serde_json::from_value(pod.clone()).unwrap();
    match kind {
        "apply" => watcher::Event::Apply(pod),
        "list" => watcher::Event::InitApply(pod),
        _ => watcher::Event::Delete(pod),
    }
}

#[test]
fn only_changes_are_told_and_a_replaced_container_is_gone() {
    let mut known = Known::default();
    let told = |known: &mut Known, kind: &str, pod: &Value| {
        let facts = known.take(event(kind, pod));
        facts
            .iter()
            .map(|facts| format!("{}{}", if facts.deleted { "-" } else { "+" }, facts.id))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut known, "apply", &pod("a", "u1", "c1", 0)), ["+c1"]);
    assert!(told(&mut known, "apply", &pod("a", "u1", "c1", 0)).is_empty());
    assert_eq!(told(&mut known, "apply", &pod("a", "u1", "c2", 1)), ["+c2", "-c1"]);
    assert_eq!(told(&mut known, "delete", &pod("a", "u1", "c2", 1)), ["-c2"]);
    assert_eq!(known.pods(), 0);
}

/// As a kubelet of 1.36 left the status of a pod that it had evicted; the reason may follow in an update of its own.
#[test]
fn an_evicted_pods_container_is_known_although_its_id_is_told_no_more() {
    let mut known = Known::default();
    known.take(event("apply", &pod("a", "u1", "c1", 0)));
    let mut evicted = pod("a", "u1", "c1", 0);
    let lost = json!({"terminated": {
        "exitCode": 137, "finishedAt": null, "reason": "ContainerStatusUnknown", "startedAt": null,
        "message": "The container could not be located when the pod was terminated",
    }});
    let status = &mut evicted["status"]["containerStatuses"][0];
    status["state"] = lost;
    status["imageID"] = json!("");
    status.as_object_mut().unwrap().remove("containerID");
    assert_eq!(
        known.take(event("apply", &evicted)),
        [],
        "nothing new, and nothing gone"
    );
    evicted["status"]["phase"] = json!("Failed");
    evicted["status"]["reason"] = json!("Evicted");
    evicted["status"]["message"] = json!("The node was low on resource: memory. Threshold quantity: 1Gi. ");
    let told = known.take(event("apply", &evicted));
    let of_it: Vec<_> = told.iter().map(|facts| (facts.id.as_str(), facts.deleted)).collect();
    assert_eq!(of_it, [("c1", false)]);
    let why = told[0].pod.as_ref().unwrap().disruption.as_ref().unwrap();
    assert_eq!(why.reason, "Evicted");
    let gone = known.take(event("delete", &evicted));
    assert!(gone[0].id == "c1" && gone[0].deleted, "{gone:?}");
}

#[test]
fn ten_thousand_changes_leave_no_more_than_the_pods_that_live() {
    let mut known = Known::default();
    for n in 0..10_000 {
        known.take(event(
            "apply",
            &pod("p", &format!("u{}", n % 1000), &format!("c{n}"), 0),
        ));
    }
    assert_eq!((known.pods(), known.refused), (1000, 0));
    for n in 0..10_000 {
        known.take(event("apply", &pod("p", &format!("v{n}"), "c", 0)));
    }
    assert_eq!(known.pods(), 4096);
    assert_eq!(known.refused, 10_000 - 3096);
}

/// A node's thousand pods through the real watcher, list and watch, while ten thousand changes pass: restarts, deletions and
/// pods in their place, with the line cut after each thousand.
#[tokio::test]
async fn ten_thousand_changes_on_a_node_of_a_thousand_pods() {
    let live = |n: usize, container: usize| pod(&format!("p{n}"), &format!("u{n}"), &format!("c{container}"), 0);
    let first: Vec<Value> = (0..1000).map(|n| live(n, n)).collect();
    let mut script = vec![list("10", &first)];
    let (mut pods, mut containers): (Vec<usize>, Vec<usize>) = ((0..1000).collect(), (0..1000).collect());
    let (mut next, mut told_of, mut gone) = (1000, 1000, 0);
    for thousand in 0..10 {
        let mut events = Vec::new();
        for n in 0..1000 {
            let place = (n * 7) % 1000;
            if n % 2 == 0 {
                events.push(told("MODIFIED", &live(pods[place], next)));
            } else {
                events.push(told("DELETED", &live(pods[place], containers[place])));
                pods[place] = next;
                events.push(told("ADDED", &live(next, next)));
            }
            containers[place] = next;
            next += 1;
            told_of += 1;
            gone += 1;
        }
        events.push(bookmark(&(20 + thousand).to_string()));
        script.push((200, events));
    }
    let (client, asked) = api_server(script).await;
    let ear = listen(client, told_of + gone).await;
    let (deleted, new): (Vec<&String>, Vec<&String>) = ear.told.iter().partition(|told| told.starts_with('-'));
    assert_eq!((new.len(), deleted.len()), (told_of, gone));
    let mut left: std::collections::BTreeSet<&str> = new.iter().map(|told| &told[1..]).collect();
    assert_eq!(left.len(), new.len(), "each container is told of once");
    for told in deleted {
        assert!(left.remove(&told[1..]), "{told} goes once, and after it came");
    }
    assert_eq!(
        left,
        containers
            .iter()
            .map(|n| format!("c{n}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect()
    );
    let asked = asked.lock().unwrap();
    let lists = asked.iter().filter(|line| !line.contains("watch=true")).count();
    assert_eq!((lists, asked.len()), (1, 11), "{asked:?}");
}

/// One answer of the scripted server: status, and lines of its body, which ends with the connection.
type Answer = (u16, Vec<Value>);

/// Answers each request with the next of `script`, and keeps what was asked.
async fn api_server(script: Vec<Answer>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&asked);
    tokio::spawn(async move {
        for (status, lines) in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            let line = request_line(&mut stream).await;
            requests.lock().unwrap().push(line);
            let mut body =
                format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
            for line in lines {
                body.push_str(&format!("{line}\n"));
            }
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    });
    let client = Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    (client, asked)
}

async fn request_line(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
}

fn list(version: &str, pods: &[Value]) -> Answer {
    let meta = json!({"resourceVersion": version});
    (
        200,
        vec![json!({"apiVersion": "v1", "kind": "PodList", "metadata": meta, "items": pods})],
    )
}

fn told(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(version: &str) -> Value {
    told(
        "BOOKMARK",
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": version}}),
    )
}

fn failure(code: u16, reason: &str) -> Value {
    let message = format!("pods: {reason}");
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code})
}

/// Keeps what it is told, until it has been told `enough`.
struct Listener {
    told: Vec<String>,
    health: Vec<Health>,
    enough: usize,
}

impl Receiver for Listener {
    async fn container(&mut self, facts: ContainerFacts) -> bool {
        self.told
            .push(format!("{}{}", if facts.deleted { "-" } else { "+" }, facts.id));
        self.told.len() < self.enough
    }

    fn health(&mut self, health: Health) {
        self.health.push(health);
    }
}

async fn listen(client: Client, enough: usize) -> Listener {
    let mut ear = Listener {
        told: Vec::new(),
        health: Vec::new(),
        enough,
    };
    let watch = watch(client, "node-1", &mut ear);
    tokio::time::timeout(std::time::Duration::from_mins(1), watch)
        .await
        .expect("the watch gives what the server told");
    ear
}

#[tokio::test]
async fn it_resumes_after_a_lost_connection_and_lists_anew_after_410() {
    let (client, asked) = api_server(vec![
        list("10", &[pod("a", "u1", "c1", 0), pod("b", "u2", "c2", 0)]),
        (200, vec![told("ADDED", &pod("c", "u3", "c3", 0)), bookmark("20")]),
        // Resumed at the bookmark; what was missed is no longer there to be told.
        (200, vec![told("ERROR", &failure(410, "Expired"))]),
        list("40", &[pod("a", "u1", "c1", 0), pod("c", "u3", "c4", 1)]),
        (200, vec![told("DELETED", &pod("a", "u1", "c1", 0))]),
    ])
    .await;
    let ear = listen(client, 7).await;
    assert_eq!(ear.told, ["+c1", "+c2", "+c3", "+c4", "-c3", "-c2", "-c1"]);
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .all(|line| line.contains("fieldSelector=spec.nodeName%3Dnode-1")),
        "{asked:?}"
    );
    assert!(
        asked[0].contains("resourceVersion=0"),
        "a list from the server's cache: {}",
        asked[0]
    );
    assert!(
        asked[1].contains("watch=true") && asked[1].contains("resourceVersion=10"),
        "{}",
        asked[1]
    );
    assert!(
        asked[2].contains("resourceVersion=20"),
        "resumed at the bookmark: {}",
        asked[2]
    );
    assert!(!asked[3].contains("watch=true"), "a new list after 410: {}", asked[3]);
}

#[tokio::test]
async fn a_refused_or_broken_server_is_asked_again_and_said_once() {
    let (client, _) = api_server(vec![
        (403, vec![failure(403, "Forbidden")]),
        (403, vec![failure(403, "Forbidden")]),
        list("10", &[pod("a", "u1", "c1", 0)]),
        (200, vec![told("MODIFIED", &pod("a", "u1", "c2", 1))]),
    ])
    .await;
    let ear = listen(client, 3).await;
    assert_eq!(ear.told, ["+c1", "+c2", "-c1"]);
    let Health::Failing(why) = &ear.health[0] else {
        panic!("{:?}", ear.health)
    };
    assert!(why.contains("list and watch pods"), "{why}");
    assert_eq!(
        ear.health[1..],
        [Health::Current { pods: 1, refused: 0 }],
        "{:?}",
        ear.health
    );
}
