//! podman and CRI-O: reads the list of containers and their runtime specifications in containers/storage.

use std::{collections::BTreeMap, path::Path};

use observer_core::{
    container::ContainerRuntime,
    container_facts::{ContainerFacts, PodFacts},
};
use serde::Deserialize;

use super::{
    bundle::OciSpec,
    state_file::{EngineError, non_empty, read},
};

/// Where root's containers are. (A user's own are below their home and need no more than another root.)
const STORAGE: &str = "var/lib/containers/storage";
/// What may move it.
const CONFIGURATION: &str = "etc/containers/storage.conf";
/// Storage drivers: each has a list of its own.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];
/// Lists: the second holds those that do not outlive a reboot.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Prefix of the annotations in which CRI-O keeps what it has from the kubelet.
const POD: &str = "io.kubernetes.pod.";

#[derive(Deserialize)]
struct Entry {
    id: String,
    names: Option<Vec<String>>,
    /// Id of the image: its configuration's digest, without `sha256:`.
    image: Option<String>,
    /// JSON in a string.
    metadata: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Metadata {
    image_name: Option<String>,
    name: Option<String>,
}

/// `storage.conf`, as far as it moves the containers.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    storage: Moved,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Moved {
    graphroot: Option<String>,
}

pub(super) fn describe(root: &Path, id: &str) -> Result<Option<ContainerFacts>, EngineError> {
    let moved = moved(root);
    for storage in moved.iter().map(String::as_str).chain([STORAGE]) {
        let storage = root.join(storage.trim_start_matches('/'));
        for containers in DRIVERS.map(|driver| storage.join(format!("{driver}-containers"))) {
            for list in LISTS {
                let entries = read::<Vec<Entry>>(&containers.join(list))?.unwrap_or_default();
                let Some(entry) = entries.into_iter().find(|entry| entry.id == id) else {
                    continue;
                };
                let spec = read::<OciSpec>(&containers.join(id).join("userdata/config.json"))?;
                return Ok(Some(facts(entry, spec.as_ref())));
            }
        }
    }
    Ok(None)
}

/// What cannot be read moves nothing: the engine's default is looked into in any case.
fn moved(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join(CONFIGURATION)).ok()?;
    let configuration: Configuration = toml::from_str(&text).ok()?;
    non_empty(configuration.storage.graphroot)
}

fn facts(entry: Entry, spec: Option<&OciSpec>) -> ContainerFacts {
    let metadata: Metadata = entry
        .metadata
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let annotation = |name: &str| non_empty(spec?.annotations.get(name).cloned());
    let pod = annotation(&format!("{POD}name")).map(|name| PodFacts {
        name,
        namespace: annotation(&format!("{POD}namespace")).unwrap_or_default(),
        uid: annotation(&format!("{POD}uid")).unwrap_or_default(),
        ..PodFacts::default()
    });
    let runtime = if pod.is_some() {
        ContainerRuntime::CriO
    } else {
        ContainerRuntime::Podman
    };
    let name = annotation("io.kubernetes.container.name")
        .or_else(|| non_empty(metadata.name))
        .or_else(|| entry.names.and_then(|names| names.into_iter().next()));
    ContainerFacts {
        name: name.unwrap_or_default(),
        runtime: Some(runtime),
        image: annotation("io.kubernetes.cri-o.ImageName").or_else(|| non_empty(metadata.image_name)),
        image_digest: non_empty(entry.image).map(|id| format!("sha256:{id}")),
        pod,
        labels: BTreeMap::new(), // podman keeps them in its database only
        memory_limit: spec.and_then(OciSpec::memory_limit),
        ..ContainerFacts::default()
    }
}
