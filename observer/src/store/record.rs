//! What the history is made of: a finding or an ended run, whose it is, and what is counted of keeping it.

use std::sync::atomic::AtomicU64;

use observer_core::{Finding, finding::EndedRun};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Something was found.
    Finding(Box<Finding>),
    /// A run ended.
    Run(Box<EndedRun>),
}

impl Record {
    /// Whether it is about this workload: by the workload's name, the service's, or either with its namespace
    /// (`shop/checkout`). What the agent says of itself belongs to all.
    pub fn concerns(&self, workload: &str) -> bool {
        let subject = match self {
            Self::Finding(finding) => match &finding.subject {
                Some(subject) => subject,
                None => return true,
            },
            Self::Run(run) => &run.subject,
        };
        subject.workload.is_called(subject.service(), workload)
    }
}

/// What the history counts of itself.
#[derive(Debug, Default)]
pub struct HistoryCounts {
    /// Records kept.
    pub records: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Records written since the history was begun, those included that made room since.
    pub written: AtomicU64,
    /// Records that made room for newer ones.
    pub dropped: AtomicU64,
    /// Records that were not written: the thread could not keep up, or the disk was full for long.
    pub lost: AtomicU64,
    /// Records and states that could not be read back and were skipped.
    pub damaged: AtomicU64,
    /// States of another version, ignored.
    pub foreign: AtomicU64,
    /// Syncs that failed.
    pub failed: AtomicU64,
    /// States put away.
    pub states: AtomicU64,
    /// Bytes of the state put away last.
    pub state_bytes: AtomicU64,
}
