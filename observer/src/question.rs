//! What a client of the agent's socket may ask, and what it is answered about the past.

use observer_core::engine::view::WorkloadView;
use serde::{Deserialize, Serialize};

use crate::store::Record;

/// What a client of the socket may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// A [`Snapshot`](crate::snapshot::Snapshot): the agent itself, and every workload with its slots, runs and releases as they stand.
    Status,
    /// A [`Snapshot`](crate::snapshot::Snapshot) in which what is called by this name has all that explains it.
    Explain {
        /// A workload's, a service's, `namespace/name`, or a slot's.
        name: String,
    },
    /// A [`HistoryView`].
    History {
        /// Of one workload, by its name, its service's, or `namespace/name`; `None`: of all.
        #[serde(default)]
        workload: Option<String>,
        /// Most records, the newest; 1,000 where it is not named.
        #[serde(default)]
        limit: Option<usize>,
    },
}

/// What happened: the store's records, and the workloads they are about as they stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryView {
    /// The workloads asked for.
    pub workloads: Vec<WorkloadView>,
    /// What happened, oldest first.
    pub records: Vec<Record>,
    /// Whether the agent has a store: without one there are no records, only what it remembers of its workloads.
    pub kept: bool,
}
