//! Workload and release: reads the facts of a process and of its container, produces what is deployed and which one.

use serde::{Deserialize, Serialize};

use super::{
    resource::otel_attributes,
    slot::program,
    subject::{Slot, Version, Workload},
};
use crate::{container_facts::ContainerFacts, process::ProcessFacts, semconv};

/// Everything by which one deployment of a workload differs from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) version: Option<Version>,
    pub(crate) image: Option<String>,
    pub(crate) template: Option<String>,
}

impl Release {
    pub(crate) fn of(facts: &ProcessFacts, named: Option<&ContainerFacts>) -> Self {
        Self {
            version: version(facts, named),
            image: named.and_then(|n| n.image_digest.clone()),
            template: named.and_then(|n| n.pod.as_ref()?.template_hash.clone()),
        }
    }

    /// What is known of it before Kubernetes tells its image's digest and what its pod says: of a container whose engine names
    /// the image, and of one that nobody names.
    pub(crate) fn untold(facts: &ProcessFacts, named: &ContainerFacts) -> [Self; 2] {
        let by_engine = ContainerFacts {
            image_digest: None,
            pod: None,
            ..named.clone()
        };
        [Self::of(facts, Some(&by_engine)), Self::of(facts, None)]
    }

    /// Whether anything of it is known.
    pub(crate) fn is_known(&self) -> bool {
        *self != Self::default()
    }

    /// By what people know it: its version, else what stands in for one.
    pub(crate) fn name(&self) -> Option<Version> {
        let other = || {
            self.image
                .as_deref()
                .map(short)
                .or_else(|| self.template.clone())
                .map(Version)
        };
        self.version.clone().or_else(other)
    }

    /// What changed since `before`, in words.
    pub(crate) fn changes_since(&self, before: &Self) -> String {
        let mut changed = Vec::new();
        if self.version != before.version {
            changed.push("version");
        }
        if self.image != before.image {
            changed.push("image digest");
        }
        if self.template != before.template {
            changed.push("pod template");
        }
        if changed.is_empty() {
            "nothing that is known".to_owned()
        } else {
            changed.join(", ")
        }
    }
}

/// The version, in the order of the OpenTelemetry conventions: what the process says, its pod's annotation, its pod's
/// label, tag and digest of its image; on a bare host that of its package.
pub(crate) fn version(facts: &ProcessFacts, named: Option<&ContainerFacts>) -> Option<Version> {
    let pod = named.and_then(|n| n.pod.as_ref());
    facts
        .published
        .get(semconv::SERVICE_VERSION)
        .cloned()
        .or_else(|| otel_attributes(facts).remove(semconv::SERVICE_VERSION))
        .or_else(|| {
            pod?.annotations
                .get("resource.opentelemetry.io/service.version")
                .cloned()
        })
        .or_else(|| pod?.labels.get("app.kubernetes.io/version").cloned())
        .or_else(|| named.and_then(image_version))
        .or_else(|| facts.package.as_ref()?.version.clone())
        .filter(|version| !version.is_empty())
        .map(Version)
}

/// `tag@digest`, the digest cut to what people compare.
fn image_version(named: &ContainerFacts) -> Option<String> {
    let image = named.image.as_deref().unwrap_or_default();
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag.to_owned());
    let digest = named.image_digest.as_deref().map(short);
    match (tag, digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        (tag, digest) => tag.or(digest),
    }
}

/// `sha256:` and twelve digits.
fn short(digest: &str) -> String {
    let end = digest.find(':').map_or(12, |colon| colon + 13);
    digest.get(..end).unwrap_or(digest).to_owned()
}

/// What is deployed.
pub(crate) fn workload(slot: &Slot, facts: &ProcessFacts, named: Option<&ContainerFacts>) -> Workload {
    if let Some(pod) = named.and_then(|n| n.pod.as_ref()) {
        let (kind, name) = pod.workload();
        return Workload {
            namespace: Some(pod.namespace.clone()),
            kind: kind.to_owned(),
            name: name.to_owned(),
            container: named.map(|n| n.name.clone()),
        };
    }
    let (kind, name) = match slot {
        Slot::Unit(unit) => ("unit", unit.replacen(".service", "", 1)),
        Slot::Pod { container, .. } => ("pod", container.clone()),
        Slot::Container { name, .. } => ("container", container_name(name, facts)),
        Slot::Cgroup(path) => (
            "cgroup",
            path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned(),
        ),
        Slot::Bare { .. } => ("process", program(facts)),
    };
    Workload {
        namespace: None,
        kind: kind.to_owned(),
        name,
        container: None,
    }
}

/// An id says nothing to anybody: the program does, until the name is known.
fn container_name(name: &str, facts: &ProcessFacts) -> String {
    let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id { program(facts) } else { name.to_owned() }
}

/// It ends by itself, so nothing beyond `suspected` is said of it.
pub(crate) fn is_job(named: Option<&ContainerFacts>) -> bool {
    let owners = named.and_then(|n| n.pod.as_ref()).map(|pod| &pod.owners);
    owners.is_some_and(|owners| owners.iter().any(|o| matches!(o.kind.as_str(), "Job" | "CronJob")))
}
