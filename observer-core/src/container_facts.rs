//! What Kubernetes, a container engine or a service manager says of a container: names, owners, versions, limits.
//!
//! The answer of a source that knows containers (the API server, an engine's state on disk). It may come long after the
//! container's processes, many times, or never. It is matched by container id or pod uid, both of which are never used
//! again, so that a deleted pod's names cannot be given to its successor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{container::ContainerRuntime, time::WallTime};

/// What is known of a container beside its processes and its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Its id as it stands in cgroup paths; empty while its pod has no such container running yet.
    pub id: String,
    /// Its name: in its pod, or in its engine.
    pub name: String,
    /// Who says so.
    pub origin: Origin,
    /// Which runtime runs it, where known.
    pub runtime: Option<ContainerRuntime>,
    /// Image as it was asked for: `registry/name:tag`.
    pub image: Option<String>,
    /// Digest of what runs: `sha256:...`.
    pub image_digest: Option<String>,
    /// That image by its registry's digest, `registry/name@sha256:...`, where the runtime says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_digest: Option<String>,
    /// Its pod.
    pub pod: Option<PodFacts>,
    /// Labels of a container outside Kubernetes (`com.docker.compose.project` and the like).
    pub labels: BTreeMap<String, String>,
    /// Restarts the engine or the kubelet counts. May be reset; ours is counted beside it.
    pub restart_count: Option<u32>,
    /// Memory limit it was given, bytes: the one in force.
    pub memory_limit: Option<u64>,
    /// Memory limit that its specification asks for, bytes. Kubernetes alone tells both: they differ while it is resized in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_desired: Option<u64>,
    /// Memory it asked for, bytes.
    pub memory_request: Option<u64>,
    /// It has a liveness or startup probe, after whose failures the kubelet restarts it; `None` where nobody says.
    #[serde(default)]
    pub probed: Option<bool>,
    /// What the engine or the kubelet says of its previous end. Stands beside our own verdict, never in its place.
    pub last_termination: Option<Termination>,
    /// It has been deleted: its names live on only in what was said of it.
    pub deleted: bool,
}

/// Who said what is known of a container, least knowing first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Its engine's files.
    #[default]
    Engine,
    /// The Kubernetes API.
    Kubernetes,
}

impl ContainerFacts {
    /// What is known once `newer` was said too: the better informed of the two, the newer of equals, with what it
    /// leaves open filled in from the other.
    #[must_use]
    pub fn with(&self, newer: &Self) -> Self {
        let (mut told, rest) = if newer.origin >= self.origin {
            (newer.clone(), self)
        } else {
            (self.clone(), newer)
        };
        if told.name.is_empty() {
            told.name.clone_from(&rest.name);
        }
        if told.labels.is_empty() {
            told.labels.clone_from(&rest.labels);
        }
        told.runtime = told.runtime.or(rest.runtime);
        told.image = told.image.or_else(|| rest.image.clone());
        told.image_digest = told.image_digest.or_else(|| rest.image_digest.clone());
        told.repo_digest = told.repo_digest.or_else(|| rest.repo_digest.clone());
        told.pod = told.pod.or_else(|| rest.pod.clone());
        told.restart_count = told.restart_count.or(rest.restart_count);
        told.probed = told.probed.or(rest.probed);
        told.last_termination = told.last_termination.or_else(|| rest.last_termination.clone());
        // Limits may be taken away, and only Kubernetes tells that: an engine's files hold those of the start.
        if told.origin == rest.origin || told.origin == Origin::Engine {
            told.memory_limit = told.memory_limit.or(rest.memory_limit);
            told.memory_limit_desired = told.memory_limit_desired.or(rest.memory_limit_desired);
            told.memory_request = told.memory_request.or(rest.memory_request);
        }
        told.deleted = self.deleted || newer.deleted;
        told
    }
}

/// What is known of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFacts {
    /// uid, as it stands in cgroup paths: a static pod's is its configuration's hash.
    pub uid: String,
    /// uid in the API where that is another one: a static pod's mirror has its own.
    #[serde(default)]
    pub api_uid: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Node it runs on.
    pub node: String,
    /// Owners, nearest first: ReplicaSet, Deployment. Empty for a bare pod.
    pub owners: Vec<OwnerRef>,
    /// Labels of identity: `app.kubernetes.io/*`, `app`, `version` and the like; never all of them.
    pub labels: BTreeMap<String, String>,
    /// Annotations of identity and origin (`resource.opentelemetry.io/*`, `traceparent`) and of consent
    /// ([`crate::heap::ANNOTATION`], [`crate::selection::ANNOTATION`]).
    pub annotations: BTreeMap<String, String>,
    /// `pod-template-hash`, or for StatefulSets and DaemonSets `controller-revision-hash`: changes with the template.
    pub template_hash: Option<String>,
    /// Start, wall clock.
    pub started: Option<WallTime>,
    /// Deletion was asked for: SIGTERM follows.
    pub terminating: bool,
    /// Why Kubernetes ends it before its time, as Kubernetes puts it.
    #[serde(default)]
    pub disruption: Option<Disruption>,
}

/// Why Kubernetes ends a pod before its time: the reason of its status, or of its condition `DisruptionTarget`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disruption {
    /// `Evicted`, `TerminationByKubelet`, `EvictionByEvictionAPI`, `PreemptionByScheduler`, `DeadlineExceeded`, ...
    pub reason: String,
    /// What it says of it, in its first sentence.
    pub message: String,
}

impl Disruption {
    /// It was evicted: by the kubelet for want of memory or disk, by the API, by a taint, or for a pod of higher priority.
    pub fn evicts(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "Evicted"
                | "TerminationByKubelet"
                | "EvictionByEvictionAPI"
                | "DeletionByTaintManager"
                | "PreemptionByScheduler"
                | "Preempting"
        )
    }
}

impl PodFacts {
    /// What was deployed: the topmost owner, or the pod itself. A static pod is owned by its node, which is no workload.
    pub fn workload(&self) -> (&str, &str) {
        let owner = self.owners.last().filter(|owner| owner.kind != "Node");
        owner.map_or(("Pod", self.name.as_str()), |owner| {
            (owner.kind.as_str(), owner.name.as_str())
        })
    }
}

/// An owner of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRef {
    /// `Deployment`, `ReplicaSet`, `StatefulSet`, `DaemonSet`, `Job`, `CronJob`, `Node` (of a static pod), others.
    pub kind: String,
    /// Name.
    pub name: String,
    /// uid; `None` where the name was concluded (a Deployment from its ReplicaSet's name and the template's hash).
    pub uid: Option<String>,
}

/// What the engine or the kubelet says of an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Id of the container that ended.
    pub container_id: Option<String>,
    /// `OOMKilled`, `Error`, `Completed`, ...
    pub reason: Option<String>,
    /// Exit code, 128 + signal.
    pub exit_code: i32,
    /// Start, wall clock.
    pub started: Option<WallTime>,
    /// End, wall clock.
    pub finished: Option<WallTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_later_does_not_hide_what_kubernetes_said() {
        let engine = ContainerFacts {
            id: "a".into(),
            name: "api".into(),
            image: Some("shop/api:1".into()),
            memory_limit: Some(1),
            pod: Some(PodFacts {
                name: "api-1".into(),
                ..PodFacts::default()
            }),
            ..ContainerFacts::default()
        };
        let owners = vec![OwnerRef {
            kind: "Deployment".into(),
            name: "api".into(),
            uid: None,
        }];
        let api = ContainerFacts {
            origin: Origin::Kubernetes,
            image_digest: Some("sha256:1".into()),
            image: None,
            memory_limit: None,
            pod: Some(PodFacts {
                name: "api-1".into(),
                owners,
                ..PodFacts::default()
            }),
            ..engine.clone()
        };
        for both in [engine.with(&api), api.with(&engine)] {
            assert_eq!(both.pod.as_ref().unwrap().workload(), ("Deployment", "api"));
            assert_eq!(
                (both.image.as_deref(), both.image_digest.as_deref()),
                (Some("shop/api:1"), Some("sha256:1"))
            );
            assert_eq!(both.memory_limit, None, "taken away in place");
        }
        assert_eq!(engine.with(&engine), engine);
        let gone = ContainerFacts {
            deleted: true,
            ..api.clone()
        };
        assert!(api.with(&gone).deleted && gone.with(&engine).deleted);
    }
}
