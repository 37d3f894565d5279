//! What is said of a slot, with its evidence. Plain data.

use serde::{Deserialize, Serialize};

use super::{
    advice::{Forecast, HeapFlag, LargerLimit, PageCache},
    growth::{Attribution, HeapEvidence},
    run::{Ceiling, RunSummary},
};
use crate::{
    heap::Diagnosis,
    identity::Version,
    time::{BootTime, SECOND, WallTime},
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
    /// Seconds until the ceiling from `at` on; of runs alike, the life of the next one from its start.
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
    /// What a larger limit buys, where the growth leads to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_limit: Option<LargerLimit>,
    /// V8's flag that fits the container, where V8's heap limit does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap_flag: Option<HeapFlag>,
    /// Page cache that makes its usage look closer to its limit than it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_cache: Option<PageCache>,
    /// Which gates decided, in the order they were evaluated.
    pub gates: Vec<Gate>,
    /// The reason in words.
    pub because: String,
}

impl Verdict {
    /// Seconds until the ceiling from `now`, at which a run that still goes on stands at `level` bytes; `None` where it is
    /// not said to grow, or nothing tells how fast.
    ///
    /// Of a run: what is left of the forecast. Of runs alike it tells the life of a whole one: then the rest of the way at
    /// their pace, in an interval that is as wide, for its length, as that of a life.
    pub fn time_left(&self, now: BootTime, level: u64) -> Option<Forecast> {
        match self.state {
            State::Suspected | State::Likely => {
                let forecast = self.time_to_ceiling?;
                let elapsed = now.since(self.at) as f64 / SECOND as f64;
                (forecast.p90 > elapsed).then(|| Forecast {
                    p10: (forecast.p10 - elapsed).max(0.0),
                    p50: (forecast.p50 - elapsed).max(0.0),
                    p90: forecast.p90 - elapsed,
                })
            }
            State::Confirmed => {
                let ceiling = self.ceiling?.bytes;
                let slope = Some(self.slope_bytes_per_hour).filter(|slope| *slope > 0.0)?;
                let rest = ceiling.saturating_sub(level) as f64 / slope * 3_600.0;
                let life = self.time_to_ceiling.filter(|life| life.p50 > 0.0)?;
                Some(Forecast {
                    p10: rest * life.p10 / life.p50,
                    p50: rest,
                    p90: rest * life.p90 / life.p50,
                })
            }
            State::Quiet | State::Retracted | State::Resolved => None,
        }
    }
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
