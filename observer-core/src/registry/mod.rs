//! Who lives on this host: reads facts and edges, produces process -> container -> slot -> workload.
//!
//! Every collection is bounded; what is put out to make room is counted in [`Evictions`].

pub(crate) mod container;
pub(crate) mod pairs;
pub(crate) mod process;
pub(crate) mod run;
pub(crate) mod slot;

use serde::{Deserialize, Serialize};

pub(crate) use container::{Container, ContainerId, Containers, Home};
pub(crate) use process::{Death, Mark, Process, Processes};
pub(crate) use run::Run;
pub(crate) use slot::{SlotId, SlotState, Slots};

/// What was put out to keep memory bounded, and what was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evictions {
    /// Processes forgotten while they may still have been alive.
    pub processes: u64,
    /// Containers refused because no room was left.
    pub containers: u64,
    /// Slots forgotten with their history.
    pub slots: u64,
    /// Members of a container beyond the bound, not counted as its processes.
    pub members: u64,
}

/// The registry's collections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registry {
    pub(crate) processes: Processes,
    pub(crate) containers: Containers,
    pub(crate) slots: Slots,
    pub(crate) evictions: Evictions,
}
