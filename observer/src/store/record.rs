//! What the history is made of: a finding or an ended run, whose it is, and what is counted of keeping it.

use std::sync::atomic::AtomicU64;

use observer_core::{
    Finding,
    finding::{EndedRun, Event},
    recording::LAYOUT,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::layout;

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

    /// The id of a kill, a restart or an ended run, which another agent that goes on from an older state would tell again.
    pub(super) fn edge(self) -> Option<String> {
        match self {
            Self::Finding(finding) if matches!(finding.event, Event::OomKill(_) | Event::Restart(_)) => {
                Some(finding.id)
            }
            Self::Finding(_) => None,
            Self::Run(run) => Some(run.id),
        }
    }
}

/// A record as it is stored: `{"layout": 1, "finding": {...}}`.
#[derive(Serialize, Deserialize)]
struct Stored<R> {
    /// Its layout; the first observers did not say it.
    #[serde(default = "first")]
    layout: u32,
    #[serde(flatten)]
    record: R,
}

const fn first() -> u32 {
    1
}

impl Record {
    /// As JSON, with its layout.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Stored {
            layout: LAYOUT,
            record: self,
        })
    }

    /// The record in this JSON, of this layout or an older one; `None` where it cannot be read.
    pub fn decode(json: &[u8]) -> Option<Self> {
        let mut stored: Stored<Value> = serde_json::from_slice(json).ok()?;
        layout::check(stored.layout, "").ok()?;
        layout::upgrade(&mut stored.record, stored.layout);
        serde_json::from_value(stored.record).ok()
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
