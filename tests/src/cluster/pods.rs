//! Pods as tests describe them: reads a few words about each, produces the API server's objects. All run `pod.js` with this
//! host's Node.js.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::places;

/// What the ConfigMap with the program is called.
const PROGRAM: &str = "program";

/// A namespace, and the program as a ConfigMap in it.
pub fn namespace(name: &str) -> Result<Vec<Value>> {
    let path = places::fixtures().join("pod.js");
    let program = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PROGRAM, "namespace": name},
            "data": {"pod.js": program},
        }),
    ])
}

/// A container that runs `pod.js` with these words.
pub fn container(name: &str, words: &str) -> Value {
    let arguments: Vec<&str> = std::iter::once("/app/pod.js").chain(words.split(' ')).collect();
    json!({
        "name": name, "image": "docker.io/local/node:host", "imagePullPolicy": "Never", "args": arguments,
        "volumeMounts": [{"name": "app", "mountPath": "/app", "readOnly": true}],
    })
}

/// The same object with these members too.
#[must_use]
pub fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// The same container with a limit of memory.
#[must_use]
pub fn limited(container: Value, memory: &str) -> Value {
    with(container, json!({"resources": {"limits": {"memory": memory}}}))
}

/// The specification of a pod of these containers.
pub fn spec(containers: &[Value]) -> Value {
    json!({
        "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 2, "containers": containers,
        "volumes": [{"name": "app", "configMap": {"name": PROGRAM}}],
    })
}

/// A pod.
pub fn pod(namespace: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// A Job whose pods are not restarted in place.
pub fn job(namespace: &str, name: &str, spec: Value) -> Value {
    let spec = with(spec, json!({"restartPolicy": "Never"}));
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    })
}

/// The pod, where it is the one of this name and runs.
pub fn running(pod: &Value, name: &str) -> Option<Value> {
    (pod["metadata"]["name"] == name && pod["status"]["phase"] == "Running").then(|| pod.clone())
}

/// Several objects as one.
pub fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}
