//! A node short of memory: the kubelet evicts the pod that took it. Its run has ended once, evicted; nothing killed it for memory and
//! no leak is confirmed of it.

use observer_tests::{
    cluster::{
        ExclusiveCluster,
        pods::{container, pod, spec},
    },
    receiver::Receiver,
};
use serde_json::{Value, json};

use super::{PATIENCE, pods::NAMESPACE};

const POD: &str = "greedy";
/// What would be told of it if its end were taken for something else. That it grows towards the node's memory may be told.
const WRONG: [&str; 4] = [
    "observer.process.oom_kill",
    "observer.memory.leak_confirmed",
    "observer.container.restart",
    "observer.container.crash_loop",
];

pub(super) fn judged(cluster: &ExclusiveCluster, receiver: &mut Receiver) {
    let greedy = pod(NAMESPACE, POD, spec(&[container("api", POD)]));
    cluster.apply(&greedy.to_string(), &[]).unwrap();
    let evicted =
        |pod: &Value| (pod["metadata"]["name"] == POD && pod["status"]["reason"] == "Evicted").then(|| pod.clone());
    let pods = ["pods", "--namespace", NAMESPACE];
    let pod = cluster.wait_for("its eviction", PATIENCE, &pods, evicted).unwrap();
    let of_it = |record: &Value| record["resource"]["k8s.pod.uid"] == pod["metadata"]["uid"];
    let run = receiver
        .wait_for("the span of its run", PATIENCE, |record| {
            (record["signal"] == "span" && of_it(record)).then(|| record.clone())
        })
        .unwrap();
    let attributes = &run["attributes"];
    assert_eq!(attributes["observer.exit.cause"], "evicted", "{run}");
    assert_eq!(attributes["observer.run.number"], json!(1), "{run}");
    let records = receiver.so_far();
    let spans = records
        .iter()
        .filter(|record| record["signal"] == "span" && of_it(record));
    assert_eq!(spans.count(), 1, "one run, ended once");
    for record in records.iter().filter(|record| of_it(record)) {
        let event = record["event"].as_str().unwrap_or_default();
        assert!(!WRONG.contains(&event), "{record}");
    }
}
