//! The words for whose a finding is: slot, workload, version, Resource.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::process::ProcessKey;

/// What is restarted in place. A sawtooth is a slot's sequence of runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// A container of a pod.
    Pod {
        /// The pod's uid.
        uid: String,
        /// The container's name; its id's first characters until the name is known.
        container: String,
    },
    /// A systemd unit.
    Unit(String),
    /// A container of Docker or podman.
    Container {
        /// `docker`, `podman`
        runtime: String,
        /// Its name, or its id where no name is known.
        name: String,
    },
    /// A container known only by its cgroup's path.
    Cgroup(String),
    /// A bare process: what is started, from where, by whom.
    Bare {
        /// Executable.
        exe: String,
        /// Main script.
        script: Option<String>,
        /// Working directory.
        cwd: Option<String>,
        /// The supervisor.
        parent: ProcessKey,
    },
}

/// What is deployed; stable across rollouts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Owner's kind: `Deployment`, `StatefulSet`, `unit`, `container`, `cgroup`, `process`.
    pub kind: String,
    /// Owner's name.
    pub name: String,
    /// Container's name, where an owner has several.
    pub container: Option<String>,
}

impl Workload {
    /// Whether a person may mean it by this name: its own, its service's, or either with its namespace
    /// (`shop/checkout`).
    pub fn is_called(&self, service: &str, name: &str) -> bool {
        let own = |name: &str| name == self.name || name == service;
        own(name)
            || name
                .split_once('/')
                .is_some_and(|(namespace, name)| self.namespace.as_deref() == Some(namespace) && own(name))
    }
}

/// What of a workload is running.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

/// Attributes of an OpenTelemetry Resource, by name. Names come from [`crate::semconv`].
pub type Resource = BTreeMap<String, String>;

/// Everything that says whose finding it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The workload.
    pub workload: Workload,
    /// The slot.
    pub slot: Slot,
    /// Which of several alike that live at once (two bare processes with one script under one parent), from 0.
    pub instance: u32,
    /// Number of the run within its slot, from 1.
    pub run: u64,
    /// The version, where known.
    pub version: Option<Version>,
    /// The workload's own Resource: never the agent's.
    pub resource: Resource,
    /// What the application or its pod's author says of the place it runs in that differs from what is known, or that nobody
    /// knows: not taken.
    #[serde(default, skip_serializing_if = "Resource::is_empty")]
    pub refused: Resource,
}

impl Subject {
    /// The service's name, as a backend shows it.
    pub fn service(&self) -> &str {
        self.resource
            .get(crate::semconv::SERVICE_NAME)
            .map_or(self.workload.name.as_str(), String::as_str)
    }
}

/// `pod <uid>/<container>`, `unit api.service`, `docker web`, `cgroup /demo/leaky`, `/usr/bin/node server.js in /app`.
impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pod { uid, container } => write!(f, "pod {uid}/{container}"),
            Self::Unit(unit) => write!(f, "unit {unit}"),
            Self::Container { runtime, name } => write!(f, "{runtime} {name}"),
            Self::Cgroup(path) => write!(f, "cgroup {path}"),
            Self::Bare { exe, script, cwd, .. } => {
                f.write_str(exe)?;
                if let Some(script) = script {
                    write!(f, " {script}")?;
                }
                if let Some(cwd) = cwd {
                    write!(f, " in {cwd}")?;
                }
                Ok(())
            }
        }
    }
}
