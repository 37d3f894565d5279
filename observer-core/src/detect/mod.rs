//! Detection: reads the levels and ends of a slot's runs, produces verdicts, one per change of state.

use serde::{Deserialize, Serialize};

use crate::{
    exit::Cause,
    finding::{Ceiling, RunSummary},
    identity::Version,
    time::BootTime,
};

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

/// One level of a slot's current run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// When.
    pub at: BootTime,
    /// The trend variable, bytes: anonymous + swap + shared + unreclaimable slab.
    pub trend: u64,
    /// Page cache, bytes.
    pub file: u64,
    /// Cumulative CPU time, nanoseconds: the load proxy.
    pub cpu_ns: Option<u64>,
    /// The ceilings in force, lowest first where it matters.
    pub ceilings: Ceilings,
}

/// The ceilings in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Lowest limit of the cgroup and its ancestors, bytes.
    pub cgroup: Option<Ceiling>,
    /// V8's heap limit plus what lies outside the heap, bytes of trend.
    pub v8: Option<u64>,
}

/// A statement about a slot, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The state entered.
    pub state: State,
    /// The state left.
    pub previous: State,
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
    /// Which gates decided, in the order they were evaluated.
    pub gates: Vec<Gate>,
    /// The reason in words.
    pub because: String,
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
}
