//! Who lives on this host: reads facts and edges, produces process -> container -> slot -> workload.
//!
//! Every collection is bounded; what is put out to make room is counted in [`Evictions`].

pub(crate) mod catalog;
pub(crate) mod container;
pub(crate) mod crash_loop;
pub(crate) mod heap_watch;
pub(crate) mod ids;
pub(crate) mod pairs;
pub(crate) mod process;
pub(crate) mod run;
pub(crate) mod slot;
pub(crate) mod workload;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use crate::identity::Home;
pub(crate) use catalog::Catalogue;
pub(crate) use container::{Container, Containers};
pub(crate) use crash_loop::{LoopCounts, RestartReport};
pub(crate) use ids::{ContainerId, SlotId};
pub(crate) use process::{Death, Mark, Process, Processes};
pub(crate) use run::Run;
pub(crate) use slot::{Closing, SlotState, Slots};
pub(crate) use workload::Workloads;

/// What was put out to keep memory bounded, and what was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evictions {
    /// Processes forgotten while they may still have been alive.
    pub processes: u64,
    /// Containers refused because no room was left.
    pub containers: u64,
    /// Slots forgotten with their history.
    pub slots: u64,
    /// Workloads forgotten with what was known of their versions.
    pub workloads: u64,
    /// Names of containers forgotten that no watched process was known of.
    pub names: u64,
    /// Members of a container beyond the bound, not counted as its processes.
    pub members: u64,
}

/// The registry's collections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registry {
    pub(crate) processes: Processes,
    pub(crate) containers: Containers,
    pub(crate) slots: Slots,
    pub(crate) workloads: Workloads,
    pub(crate) catalogue: Catalogue,
    /// Runs that have ended and wait for what follows them.
    #[serde(with = "pairs")]
    pub(crate) closing: BTreeMap<SlotId, Closing>,
    pub(crate) evictions: Evictions,
}
