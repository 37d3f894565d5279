//! What a detector is given: levels of a run, the ceilings in force, and how the run ended. Plain data.

use serde::{Deserialize, Serialize};

use crate::{
    finding::{Cause, Ceiling, Confidence},
    time::BootTime,
};

/// One level of a slot's current run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When.
    pub at: BootTime,
    /// The trend variable, bytes: anonymous + swap + shared + unreclaimable slab.
    pub trend: u64,
    /// Page cache, bytes.
    pub file: u64,
    /// Of `trend`, the part that is shared memory and tmpfs, bytes.
    pub shmem: u64,
    /// Of `trend`, the part that is unreclaimable kernel memory, bytes.
    pub slab: u64,
    /// Cumulative CPU time, nanoseconds: the load proxy.
    pub cpu_ns: Option<u64>,
    /// Net growth by place (`Place::ALL` order), bytes since tracing began; `None` while growth is not traced.
    pub growth: Option<[i64; observer_common::growth::PLACES]>,
    /// The ceilings in force, lowest first where it matters.
    pub ceilings: Ceilings,
    /// V8's heap limit of the main process, bytes.
    #[serde(default)]
    pub heap_limit: Option<u64>,
    /// Of `trend`, what other processes of the container hold, bytes.
    #[serde(default, rename = "beside")]
    pub other_processes: u64,
}

/// The ceilings in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Lowest limit of the cgroup and its ancestors, bytes.
    pub cgroup: Option<Ceiling>,
    /// V8's heap limit plus what lies outside the heap, bytes of trend ([`v8_ceiling`](crate::detect::growth::ceiling::v8_ceiling)).
    pub v8: Option<u64>,
}

/// How a run ended, as far as detection cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// When.
    pub at: BootTime,
    /// Why.
    pub cause: Cause,
    /// Whether the cause was seen or concluded.
    pub confidence: Confidence,
    /// Highest level by the cgroup's own mark, bytes, where it was read.
    pub peak: Option<u64>,
}

impl RunEnd {
    /// An end whose cause was concluded and whose peak was not read.
    pub const fn new(at: BootTime, cause: Cause) -> Self {
        Self {
            at,
            cause,
            confidence: Confidence::Inferred,
            peak: None,
        }
    }
}
