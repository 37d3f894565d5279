//! Detection: reads the levels and the ends of a slot's runs, produces verdicts, one per change of state.
//!
//! [`SlotDetector`] is the whole of it: one per slot, streaming, at most [`slot::MAX_BYTES`] of state, and a pure
//! function of what it was given, in that order. What it looks at and why is told in `docs/detection.md`; each file
//! below holds one step of it:
//!
//! - [`ring`], [`span`]: the bounded history of a run, from minutes to its whole life;
//! - [`window`], [`stats`], [`shape`]: a stretch of that history, its slope with an interval, and the curve it follows;
//! - [`gates`], [`beside`]: what must hold before anything is said, and what of it is traffic;
//! - [`record`]: ended runs, and which of them rose alike;
//! - `recurring`: kills that come again, whatever the gates say;
//! - [`forecast`]: time to the ceiling with an interval;
//! - [`garbage`]: how much of a growth V8 may not have collected yet;
//! - [`ceiling`]: V8's limit, what an earlier death taught, and limits that contradict each other;
//! - [`pace`]: the slope and its standard error of any run, for replicas to be pooled;
//! - [`attribution`]: where it grew;
//! - [`replay`]: histories of many series, row by row.

use serde::{Deserialize, Serialize};

use crate::{
    exit::Cause,
    finding::{Ceiling, Confidence, RunSummary},
    heap::Diagnosis,
    identity::Version,
    time::{BootTime, WallTime},
};

pub mod attribution;
pub mod beside;
pub mod ceiling;
pub mod config;
mod decision;
pub mod elementary;
mod ends;
pub mod forecast;
pub mod garbage;
pub mod gates;
mod heir;
mod judge;
pub mod pace;
pub mod record;
mod recurring;
mod relent;
pub mod replay;
pub mod ring;
pub mod shape;
pub mod slot;
pub mod span;
pub mod stats;
mod tell;
mod threshold;
mod troughs;
pub mod window;

pub use attribution::Attribution;
pub use config::DetectConfig;
pub use decision::how_far;
pub use garbage::HeapEvidence;
pub use pace::Pace;
pub use slot::{Counts, SlotDetector};

/// What is said of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing.
    #[default]
    Quiet,
    /// Growth within a run is significant.
    Suspected,
    /// And leads to a ceiling within days.
    Likely,
    /// The sawtooth: runs that climb alike and end at a ceiling.
    Confirmed,
    /// The evidence went away.
    Retracted,
    /// A later version stays flat for longer than the old one lived.
    Resolved,
}

impl State {
    /// The state's name, as it leaves the agent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Suspected => "suspected",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
            Self::Retracted => "retracted",
            Self::Resolved => "resolved",
        }
    }
}

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
    #[serde(default)]
    pub beside: u64,
}

/// The ceilings in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Lowest limit of the cgroup and its ancestors, bytes.
    pub cgroup: Option<Ceiling>,
    /// V8's heap limit plus what lies outside the heap, bytes of trend ([`ceiling::v8_ceiling`]).
    pub v8: Option<u64>,
}

/// A statement about a slot, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// When the evidence was complete.
    pub at: BootTime,
    /// The state entered.
    pub state: State,
    /// The state left.
    pub previous: State,
    /// When that state was told; the engine adds it.
    #[serde(default)]
    pub previous_at: Option<WallTime>,
    /// Slope of the floor, bytes per hour.
    pub slope_bytes_per_hour: f64,
    /// 99 % interval of the slope.
    pub slope_interval: (f64, f64),
    /// Nanoseconds of history the slope stands on.
    pub span_ns: u64,
    /// The floor now, bytes.
    pub floor: u64,
    /// The ceiling it leads to.
    pub ceiling: Option<Ceiling>,
    /// Seconds until the ceiling.
    pub time_to_ceiling: Option<Forecast>,
    /// Runs that were compared.
    pub runs: Vec<RunSummary>,
    /// First version that shows it.
    pub first_version: Option<Version>,
    /// Where it grew.
    pub attribution: Option<Attribution>,
    /// Before and after, where a later version resolved it.
    pub comparison: Option<Comparison>,
    /// Which version introduced it; the engine adds it, which knows all slots of the workload.
    #[serde(default)]
    pub blame: Option<Blame>,
    /// What a reading of the heap said of the growth, where it was read: the verdict stands on it.
    #[serde(default)]
    pub heap: Option<HeapEvidence>,
    /// What grew in the heap by name, where it was read; the engine adds it.
    #[serde(default)]
    pub diagnosis: Option<Box<Diagnosis>>,
    /// Which gates decided, in the order they were evaluated.
    pub gates: Vec<Gate>,
    /// The reason in words.
    pub because: String,
}

/// Which version introduced a leak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// The version, where an earlier one was seen to be clean or this was seen to be the first.
    pub introduced_by: Option<Version>,
    /// When the first version that shows it was first seen.
    pub since: WallTime,
    /// The last version that was seen long enough without it.
    pub last_clean: Option<Version>,
    /// What that stands on, in words.
    pub evidence: String,
}

/// A version that leaked beside one that does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The version that leaked.
    pub before: Side,
    /// The version that does not.
    pub after: Side,
}

/// One side of a [`Comparison`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The version, where known.
    pub version: Option<Version>,
    /// Level shortly after a start, bytes.
    pub baseline: u64,
    /// Highest level, bytes.
    pub peak: u64,
    /// Slope of the floor, bytes per hour.
    pub slope_bytes_per_hour: f64,
    /// Seconds from a start to its end (before), or lived so far (after).
    pub lifetime_s: f64,
}

/// A forecast with its interval, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Ten in a hundred are sooner.
    pub p10: f64,
    /// The middle.
    pub p50: f64,
    /// Ten in a hundred are later.
    pub p90: f64,
}

/// One gate's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name (docs/detection.md).
    pub name: String,
    /// Whether it held.
    pub held: bool,
    /// What was measured.
    pub value: f64,
    /// What it was measured against.
    pub threshold: f64,
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
