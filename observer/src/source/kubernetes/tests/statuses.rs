//! What a pod's status and its annotations say, as facts.

use serde_json::{Value, json};

use super::{UID, facts, pod};

#[test]
fn a_static_pod_has_its_configurations_hash_for_a_uid() {
    let mut mirror = pod("etcd-node-1", UID, "c1", 0);
    let hash = "0123456789abcdef0123456789abcdef";
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": hash, "kubernetes.io/config.hash": hash});
    let pod = facts(&mirror)[0].pod.clone().unwrap();
    assert_eq!((pod.uid.as_str(), pod.api_uid.as_deref()), (hash, Some(UID)));
}

#[test]
fn an_eviction_is_in_the_condition_before_it_is_in_the_status() {
    let mut evicted = pod("p", UID, "c1", 0);
    let message = "The node was low on resource: memory. Threshold quantity: 300Mi. ";
    let reason = |pod: &Value| {
        facts(pod)[0]
            .pod
            .clone()
            .unwrap()
            .disruption
            .map(|d| (d.reason, d.message))
    };
    evicted["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "False", "reason": "Old"}]);
    assert_eq!(reason(&evicted), None);
    evicted["status"]["conditions"] =
        json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}]);
    let short = "The node was low on resource: memory".to_owned();
    assert_eq!(reason(&evicted), Some(("TerminationByKubelet".into(), short.clone())));
    evicted["status"]["reason"] = json!("Evicted");
    evicted["status"]["message"] = json!(message);
    assert_eq!(reason(&evicted), Some(("Evicted".into(), short)));
}

#[test]
fn a_resize_in_place_and_a_container_that_waits() {
    let mut resized = pod("p", UID, "c1", 0);
    resized["status"]["containerStatuses"][0]["resources"] = json!({"limits": {"memory": "1Gi"}});
    let resized = facts(&resized).remove(0);
    assert_eq!(
        (resized.memory_limit, resized.memory_limit_desired),
        (Some(1 << 30), Some(512 << 20)),
        "what is in force, and what was asked for"
    );

    let mut waiting = pod("p", UID, "c1", 0);
    waiting["status"]["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    assert_eq!(
        facts(&waiting)[0].last_termination.as_ref().unwrap().exit_code,
        1,
        "its own end, not the one before"
    );
    waiting["status"]["containerStatuses"][0]["containerID"] = json!(null);
    assert_eq!(facts(&waiting), [], "no id, nothing to match it by");
    waiting["status"] = json!(null);
    assert_eq!(facts(&waiting), []);
}
