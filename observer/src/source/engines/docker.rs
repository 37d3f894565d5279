//! Docker: reads `containers/<id>/config.v2.json` and `hostconfig.json` below its data directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use observer_core::{container::ContainerRuntime, container_facts::ContainerFacts};
use serde::Deserialize;

use super::state_file::{EngineError, non_empty, read};

/// Data directories: the default, and the snap's.
const DATA: [&str; 2] = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];

/// A container: its file, or the answer of the engine's API, which has the same names.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    /// With a leading slash.
    name: Option<String>,
    /// `sha256:` of the image's configuration.
    image: Option<String>,
    restart_count: Option<i64>,
    config: Option<Inner>,
    /// In a file of its own on disk.
    host_config: Option<HostConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inner {
    /// As it was asked for.
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    memory: Option<i64>,
    memory_reservation: Option<i64>,
}

/// `daemon.json`, as far as it moves the data directory.
#[derive(Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
}

pub(super) fn describe(root: &Path, id: &str) -> Result<Option<ContainerFacts>, EngineError> {
    for data in data_directories(root)? {
        let dir = data.join("containers").join(id);
        let Some(config) = read::<Config>(&dir.join("config.v2.json"))? else {
            continue;
        };
        let host_config = read::<HostConfig>(&dir.join("hostconfig.json"))?;
        return Ok(Some(ContainerFacts {
            runtime: Some(ContainerRuntime::Docker),
            ..facts(Config { host_config, ..config })
        }));
    }
    Ok(None)
}

pub(super) fn facts(config: Config) -> ContainerFacts {
    let host = config.host_config;
    let set = |bytes: Option<i64>| {
        bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .filter(|bytes| *bytes > 0)
    }; // 0 is "none"
    let inner = config.config;
    let (image, labels) = inner.map_or((None, None), |inner| (inner.image, inner.labels));
    // podman may leave out what kind of digest it is, and of a container without an image the digest.
    let digest = non_empty(config.image)
        .filter(|id| !id.ends_with(':'))
        .map(|id| if id.contains(':') { id } else { format!("sha256:{id}") });
    ContainerFacts {
        name: config.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: non_empty(image),
        image_digest: digest,
        labels: labels.unwrap_or_default(),
        restart_count: config.restart_count.and_then(|count| u32::try_from(count).ok()),
        memory_limit: set(host.as_ref().and_then(|host| host.memory)),
        memory_request: set(host.as_ref().and_then(|host| host.memory_reservation)),
        ..ContainerFacts::default()
    }
}

/// Where data may lie; with user namespaces, in a directory `UID.GID` of it as well.
fn data_directories(root: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let moved = read::<Daemon>(&root.join("etc/docker/daemon.json"))?.and_then(|daemon| daemon.data_root);
    let plain = moved
        .iter()
        .map(String::as_str)
        .chain(DATA)
        .map(|dir| root.join(dir.trim_start_matches('/')));
    let mut all = Vec::new();
    for dir in plain {
        let remapped = std::fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let is_remapped = |path: &PathBuf| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.split_once('.'));
            name.is_some_and(|(uid, gid)| uid.parse::<u32>().is_ok() && gid.parse::<u32>().is_ok())
        };
        all.extend(remapped.filter(is_remapped));
        all.push(dir);
    }
    Ok(all)
}
