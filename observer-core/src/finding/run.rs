//! Ended runs and the ceilings they died at. Plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::end::{Cause, End};
use crate::{
    identity::{Subject, Version},
    time::{BootTime, WallTime},
};

/// A run that has ended, with nothing more to be learnt of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedRun {
    /// Stable across replays and re-deliveries.
    pub id: String,
    /// Whose it was: that run's own, its version's included.
    pub subject: Arc<Subject>,
    /// The run.
    pub run: RunSummary,
    /// Its start on the wall clock.
    pub started: WallTime,
    /// Its end on the wall clock.
    pub ended: WallTime,
    /// A run of another version took its place.
    pub rollout: bool,
    /// What was rolled out, where something tells it: its owner's uid and the hash of the pod's template, or the image's digest.
    #[serde(default)]
    pub revision: Option<String>,
    /// W3C `traceparent` that a pipeline left on its pod.
    #[serde(default)]
    pub traceparent: Option<String>,
}

/// An ended run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its number within the slot.
    pub run: u64,
    /// Start.
    pub started: BootTime,
    /// End.
    pub ended: BootTime,
    /// Version.
    pub version: Option<Version>,
    /// How it ended.
    pub end: End,
    /// What Kubernetes or the engine says of the same end (`OOMKilled (137)`). Beside our verdict, never in its place.
    #[serde(default)]
    pub reported: Option<String>,
    /// Highest usage seen (or the cgroup's own high-water mark), bytes.
    pub peak: u64,
    /// The lower ceiling, bytes.
    pub ceiling: Option<Ceiling>,
    /// Slope of the trend, bytes per hour.
    pub slope_bytes_per_hour: Option<f64>,
}

impl RunSummary {
    /// Cause of its end.
    pub const fn cause(&self) -> Cause {
        self.end.cause
    }

    /// Nanoseconds it lived.
    pub const fn duration_ns(&self) -> u64 {
        self.ended.since(self.started)
    }
}

/// A number of bytes at which a run dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Bytes, in terms of what is compared against it.
    pub bytes: u64,
    /// What sets it.
    pub kind: CeilingKind,
}

/// What sets a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CeilingKind {
    /// The container's own memory limit.
    Cgroup,
    /// An ancestor's limit.
    CgroupAncestor,
    /// V8's heap limit plus what lies outside the heap.
    V8Heap,
    /// The level at which earlier runs of this version died.
    Learned,
    /// The host's memory.
    Host,
}
