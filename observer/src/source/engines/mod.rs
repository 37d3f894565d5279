//! Reads the state that container engines keep on disk, produces the name, image, limits and (where the engine runs
//! pods) the pod of a container. No socket is asked unless the operator names one: an engine's socket is as good as root,
//! and a file is not.
//!
//! Whatever an engine writes there beside what is named here, a container's environment among it, is not kept.

mod bundle;
mod docker;
mod shim;
mod socket;
mod state_file;
mod storage;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use observer_core::{
    container::{ContainerRef, ContainerRuntime, Owner},
    container_facts::ContainerFacts,
};

pub use state_file::EngineError;

/// Longest label kept, bytes.
const LONGEST_LABEL: usize = 1024;
/// Labels kept: those that name a service and its version. Others may hold anything.
const LABELS: [&str; 7] = [
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
    "io.podman.compose.project",
    "io.podman.compose.service",
    "org.opencontainers.image.title",
    "org.opencontainers.image.version",
];

/// The engines of a host, by their files.
#[derive(Clone, Debug)]
pub struct Engines {
    root: PathBuf,
    /// Where the host's processes are, to find containerd's shims.
    procfs: PathBuf,
    /// Asked for what no file tells.
    socket: Option<PathBuf>,
}

impl Engines {
    /// The host's root directory: `/`, or where it is mounted in the agent's own container.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            procfs: root.join("proc"),
            root,
            socket: None,
        }
    }

    /// The same, with the socket of an engine to ask where files tell nothing.
    #[must_use]
    pub fn with_socket(self, socket: Option<PathBuf>) -> Self {
        Self { socket, ..self }
    }

    /// Those of the host whose procfs this is: its process 1 has the host's root, whatever container the agent is in.
    /// Where that may not be entered (no SYS_PTRACE), the directory that holds procfs.
    pub fn of_host(procfs: &Path) -> Self {
        let of_init = procfs.join("1/root");
        let of_root = match std::fs::metadata(of_init.join("etc")) {
            Ok(_) => Self::new(of_init),
            Err(_) => Self::new(procfs.parent().unwrap_or(Path::new("/"))),
        };
        Self {
            procfs: procfs.to_path_buf(),
            ..of_root
        }
    }

    /// What its engine keeps of a cgroup's owner, in which a process with this parent runs; `None` where that is no
    /// container, or no engine here knows it.
    pub fn describe(&self, owner: &Owner, parent: u32) -> Result<Option<ContainerFacts>, EngineError> {
        let container = match owner {
            Owner::Container(container)
            | Owner::Pod {
                container: Some(container),
                ..
            } => container,
            Owner::Pod { container: None, .. } | Owner::Unit { .. } => return Ok(None),
        };
        // An id is a file's name here: hexadecimal digits, or nothing is looked for.
        if container.id.is_empty() || !container.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let Some(mut facts) = self.look(container, parent)? else {
            return Ok(None);
        };
        facts.id.clone_from(&container.id);
        if let (Owner::Pod { uid, .. }, Some(pod)) = (owner, &mut facts.pod) {
            pod.uid.clone_from(uid);
        }
        bound(&mut facts.labels);
        Ok(Some(facts))
    }

    fn look(&self, container: &ContainerRef, parent: u32) -> Result<Option<ContainerFacts>, EngineError> {
        type Look = fn(&Path, &str) -> Result<Option<ContainerFacts>, EngineError>;
        let looks: &[Look] = match container.runtime {
            Some(ContainerRuntime::Docker) => &[docker::describe],
            Some(ContainerRuntime::Podman | ContainerRuntime::CriO) => &[storage::describe],
            Some(ContainerRuntime::Containerd) => &[bundle::describe],
            Some(ContainerRuntime::Lxc) => &[],
            // Kubernetes' cgroupfs driver does not tell.
            None => &[bundle::describe, storage::describe, docker::describe],
        };
        for look in looks {
            if let Some(facts) = look(&self.root, &container.id)? {
                return Ok(Some(facts));
            }
        }
        if matches!(container.runtime, Some(ContainerRuntime::Containerd) | None)
            && let Some(facts) = shim::describe(&self.procfs, parent, &container.id)?
        {
            return Ok(Some(facts));
        }
        let Some(socket) = &self.socket else { return Ok(None) };
        let answered = socket::describe(socket, &container.id)?;
        Ok(answered.map(|facts| ContainerFacts {
            runtime: container.runtime,
            ..facts
        }))
    }
}

fn bound(labels: &mut BTreeMap<String, String>) {
    labels.retain(|name, value| LABELS.contains(&name.as_str()) && value.len() <= LONGEST_LABEL);
}
