//! What the engine remembers between two Inputs: plain data, in parts that each keep one thing. Knows the registry and the
//! settings, and neither Inputs nor what is concluded from them.
//!
//! The whole of it can be put away and gone on from ([`crate::What::Restore`]).

pub(crate) mod cgroups;
pub(crate) mod deaths;
pub(crate) mod losses;
pub(crate) mod marks;
pub(crate) mod timeline;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::{cgroups::KnownCgroups, deaths::PendingDeaths, losses::Losses, marks::Marks, timeline::Timeline};
use crate::{registry::Registry, settings::Settings};

/// The engine. One per agent, or one per replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    pub(crate) time: Timeline,
    pub(crate) host: Host,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    /// Deaths and releases that wait to be decided.
    pub(crate) deaths: PendingDeaths,
    /// Victims of the kernel's OOM killer.
    #[serde(default)]
    pub(crate) oom_marks: Marks,
    pub(crate) cgroups: KnownCgroups,
    /// What was lost on the way here.
    pub(crate) losses: Losses,
    /// Findings made.
    pub(crate) findings: u64,
    /// Ids of what an earlier agent said after this state was put away.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) told: BTreeSet<String>,
}

/// The host, as the agent told it at its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) boot_id: String,
    pub(crate) name: String,
    /// Bytes.
    pub(crate) memory: u64,
    /// cgroup version that accounts for memory.
    pub(crate) cgroup_version: u8,
}
