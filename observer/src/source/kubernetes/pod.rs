//! Reads a Pod, produces the facts of its containers. Pure: what it keeps is named here, everything else of the pod
//! (environment, volumes, commands, other labels and annotations) is dropped.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Pod, PodStatus, ResourceRequirements},
    apimachinery::pkg::apis::meta::v1::Time,
};
use observer_core::{
    container::ContainerRuntime,
    container_facts::{ContainerFacts, Disruption, Origin, OwnerRef, PodFacts, Termination},
    heap, selection,
    time::WallTime,
};

use super::quantity;

/// Labels kept: those by which people and OpenTelemetry's conventions name a service and its version.
const LABELS: [&str; 9] = [
    "app",
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "k8s-app",
    "version",
];
/// Annotations by which a pod's author consents or refuses.
const CONSENT: [&str; 2] = [heap::ANNOTATION, selection::ANNOTATION];
/// Annotations kept, beside those and every `resource.opentelemetry.io/`: where a delivery pipeline left its trace.
const TRACEPARENT: &str = "traceparent";
const RESOURCE: &str = "resource.opentelemetry.io/";
/// A static pod's cgroup carries its configuration's hash, and the mirror pod in the API a uid of its own.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Most annotations kept, and the longest value.
const MOST: usize = 64;
const LONGEST: usize = 1024;
/// Most characters kept of a reason and of its message.
const LONGEST_REASON: usize = 200;

/// Facts of every container of a pod that has an id: running, or ended and not yet replaced.
pub(super) fn containers(pod: &Pod) -> Vec<ContainerFacts> {
    let Some(facts) = pod_facts(pod) else { return Vec::new() };
    statuses(pod)
        .filter_map(|status| container(pod, &facts, status))
        .collect()
}

/// Names of containers in the pod's status that have no id there.
pub(super) fn without_ids(pod: &Pod) -> Vec<&str> {
    let without = statuses(pod).filter(|status| status.container_id.as_ref().is_none_or(String::is_empty));
    without.map(|status| status.name.as_str()).collect()
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let kinds = pod.status.iter().flat_map(|status| {
        [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ]
    });
    kinds.flatten().flatten()
}

/// The pod's uid as its cgroup carries it.
pub(super) fn cgroup_uid(pod: &Pod) -> Option<&str> {
    let annotations = pod.metadata.annotations.as_ref();
    let hash = annotations.and_then(|all| all.contains_key(MIRROR).then(|| all.get(CONFIG_HASH)).flatten());
    hash.or(pod.metadata.uid.as_ref()).map(String::as_str)
}

/// What is told of the pod, whatever is of its containers.
pub(super) fn pod_facts(pod: &Pod) -> Option<PodFacts> {
    let meta = &pod.metadata;
    let all = meta.labels.clone().unwrap_or_default();
    let template_hash = ["pod-template-hash", "controller-revision-hash"]
        .iter()
        .find_map(|name| all.get(*name))
        .cloned();
    let uid = cgroup_uid(pod)?;
    Some(PodFacts {
        uid: uid.to_owned(),
        api_uid: meta.uid.clone().filter(|own| own != uid),
        name: meta.name.clone()?,
        namespace: meta.namespace.clone().unwrap_or_default(),
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        owners: owners(pod, all.get("pod-template-hash")),
        labels: kept(all, |name| LABELS.contains(&name)),
        annotations: kept(meta.annotations.clone().unwrap_or_default(), |name| {
            name == TRACEPARENT || CONSENT.contains(&name) || name.starts_with(RESOURCE)
        }),
        template_hash,
        started: pod.status.as_ref().and_then(|status| wall(status.start_time.as_ref())),
        terminating: meta.deletion_timestamp.is_some(),
        disruption: pod.status.as_ref().and_then(disruption),
    })
}

/// The pod's status has a reason only where something ended it before its time; the condition comes first, and says less.
fn disruption(status: &PodStatus) -> Option<Disruption> {
    let condition = || {
        let mut all = status.conditions.iter().flatten();
        all.find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
    };
    let (reason, message) = match &status.reason {
        Some(reason) => (reason.clone(), status.message.as_ref()),
        None => {
            let condition = condition()?;
            (condition.reason.clone()?, condition.message.as_ref())
        }
    };
    let message = message.map_or("", |message| message.split(". ").next().unwrap_or(message));
    Some(Disruption {
        reason: cut(&reason),
        message: cut(message.trim_end_matches(['.', ' '])),
    })
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_REASON).collect()
}

/// Owners, nearest first. The Deployment behind a ReplicaSet and the CronJob behind a Job are told by their names, which
/// their controllers make: `<deployment>-<pod-template-hash>` and `<cronjob>-<minutes since 1970>`. That saves a
/// permission and a request per pod.
fn owners(pod: &Pod, template_hash: Option<&String>) -> Vec<OwnerRef> {
    let references = pod.metadata.owner_references.iter().flatten();
    let Some(nearest) = references
        .clone()
        .find(|owner| owner.controller == Some(true))
        .or(references.clone().next())
    else {
        return Vec::new();
    };
    let mut owners = vec![OwnerRef {
        kind: nearest.kind.clone(),
        name: nearest.name.clone(),
        uid: Some(nearest.uid.clone()),
    }];
    let above = match nearest.kind.as_str() {
        "ReplicaSet" => template_hash
            .and_then(|hash| nearest.name.strip_suffix(hash.as_str())?.strip_suffix('-'))
            .map(|name| ("Deployment", name)),
        "Job" => nearest
            .name
            .rsplit_once('-')
            .filter(|(_, minutes)| minutes.len() >= 8 && minutes.bytes().all(|b| b.is_ascii_digit()))
            .map(|(name, _)| ("CronJob", name)),
        _ => None,
    };
    owners.extend(above.map(|(kind, name)| OwnerRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: None,
    }));
    owners
}

fn container(pod: &Pod, facts: &PodFacts, status: &ContainerStatus) -> Option<ContainerFacts> {
    // `containerd://<id>`
    let (scheme, id) = status.container_id.as_ref()?.split_once("://")?;
    let runtime = match scheme {
        "containerd" => Some(ContainerRuntime::Containerd),
        "cri-o" => Some(ContainerRuntime::CriO),
        "docker" => Some(ContainerRuntime::Docker),
        _ => None,
    };
    let spec = pod.spec.as_ref();
    let specified = spec.and_then(|spec| {
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.find(|container| container.name == status.name)
    });
    let asked = specified.and_then(|container| container.resources.as_ref());
    // What is in force may differ from what was asked for while a pod is resized in place.
    let resources = status.resources.as_ref().or(asked);
    let terminated = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .map(termination)
    };
    Some(ContainerFacts {
        id: id.to_owned(),
        name: status.name.clone(),
        origin: Origin::Kubernetes,
        runtime,
        image: Some(status.image.clone()).filter(|image| !image.is_empty()),
        image_digest: status
            .image_id
            .find("sha256:")
            .map(|at| status.image_id[at..].to_owned()),
        // An image that came from no registry has an id alone.
        repo_digest: Some(&status.image_id)
            .filter(|id| id.contains('@'))
            .map(|id| id.trim_start_matches("docker-pullable://").to_owned()),
        pod: Some(facts.clone()),
        labels: BTreeMap::new(),
        restart_count: u32::try_from(status.restart_count).ok(),
        memory_limit: memory(resources, |resources| resources.limits.as_ref()),
        memory_limit_desired: memory(asked, |resources| resources.limits.as_ref()),
        memory_request: memory(resources, |resources| resources.requests.as_ref()),
        probed: specified.map(probed),
        // A container that ended and waits for its next start has its end in `state`.
        last_termination: terminated(&status.state).or_else(|| terminated(&status.last_state)),
        deleted: false,
    })
}

/// Whether the kubelet restarts it after probes that failed.
const fn probed(container: &Container) -> bool {
    container.liveness_probe.is_some() || container.startup_probe.is_some()
}

type Quantities = BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>;

fn memory(
    resources: Option<&ResourceRequirements>,
    of: impl Fn(&ResourceRequirements) -> Option<&Quantities>,
) -> Option<u64> {
    quantity::bytes(&of(resources?)?.get("memory")?.0)
}

fn termination(state: &ContainerStateTerminated) -> Termination {
    Termination {
        container_id: state
            .container_id
            .as_ref()
            .and_then(|id| Some(id.split_once("://")?.1.to_owned())),
        reason: state.reason.clone(),
        exit_code: state.exit_code,
        started: wall(state.started_at.as_ref()),
        finished: wall(state.finished_at.as_ref()),
    }
}

/// `None` before 1970, as in `0001-01-01T00:00:00Z`, which stands for "never".
fn wall(time: Option<&Time>) -> Option<WallTime> {
    u64::try_from(time?.0.as_nanosecond()).ok().map(WallTime)
}

fn kept(all: BTreeMap<String, String>, is_kept: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    all.into_iter()
        .filter(|(name, value)| is_kept(name) && value.len() <= LONGEST)
        .take(MOST)
        .collect()
}
