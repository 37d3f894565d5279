//! containerd: reads `config.json` (the OCI runtime specification) of a running task's bundle. Kubernetes' CRI plugin
//! and nerdctl name container and pod in its annotations: that is how pods are named while the API server is away.

use std::{collections::BTreeMap, path::Path};

use observer_core::{
    container::ContainerRuntime,
    container_facts::{ContainerFacts, PodFacts},
};
use serde::Deserialize;

use super::state_file::{EngineError, non_empty, read};

/// Bundles of running tasks, by namespace: `k8s.io`, `default`, `moby` (Docker's).
const TASKS: [&str; 3] = [
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
];

/// The runtime specification, as far as it is needed. `process.env` is left out on purpose.
#[derive(Deserialize)]
pub(super) struct OciSpec {
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Linux {
    resources: Option<Resources>,
}

#[derive(Deserialize)]
struct Resources {
    memory: Option<Memory>,
}

#[derive(Deserialize)]
struct Memory {
    limit: Option<i64>,
}

impl OciSpec {
    /// Memory limit the container was started with, bytes; later changes are in its cgroup.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        let limit = self.linux.as_ref()?.resources.as_ref()?.memory.as_ref()?.limit?;
        u64::try_from(limit).ok().filter(|bytes| *bytes > 0) // -1 and 0 are "none"
    }
}

pub(super) fn describe(root: &Path, id: &str) -> Result<Option<ContainerFacts>, EngineError> {
    for tasks in TASKS.map(|dir| root.join(dir)) {
        for namespace in std::fs::read_dir(&tasks).into_iter().flatten().flatten() {
            if namespace.file_name() == "moby" {
                continue; // Docker's containers: it names them itself
            }
            let Some(spec) = read::<OciSpec>(&namespace.path().join(id).join("config.json"))? else {
                continue;
            };
            return Ok(Some(facts(&spec)));
        }
    }
    Ok(None)
}

pub(super) fn facts(spec: &OciSpec) -> ContainerFacts {
    let annotation = |name: &str| non_empty(spec.annotations.get(name).cloned());
    let pod = annotation("io.kubernetes.cri.sandbox-name").map(|name| PodFacts {
        name,
        namespace: annotation("io.kubernetes.cri.sandbox-namespace").unwrap_or_default(),
        uid: annotation("io.kubernetes.cri.sandbox-uid").unwrap_or_default(),
        ..PodFacts::default()
    });
    let name = annotation("io.kubernetes.cri.container-name").or_else(|| annotation("nerdctl/name"));
    ContainerFacts {
        name: name.unwrap_or_default(),
        runtime: Some(ContainerRuntime::Containerd),
        image: annotation("io.kubernetes.cri.image-name"),
        pod,
        memory_limit: spec.memory_limit(),
        ..ContainerFacts::default()
    }
}
