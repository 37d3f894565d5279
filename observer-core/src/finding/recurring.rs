//! Kills that recur: how often, between which levels, and what may explain them. Plain data.

use serde::{Deserialize, Serialize};

use super::{
    growth::HeapEvidence,
    run::{Ceiling, RunSummary},
};

/// A container is killed at its ceiling again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecurringOom {
    /// Kills so far, of this version.
    pub kills: u32,
    /// Seconds from the first of them to the last.
    pub within_s: f64,
    /// Seconds a run lived, the median of those on record.
    pub lifetime_s: f64,
    /// Lowest and highest level after a start, bytes.
    pub from: (u64, u64),
    /// Lowest and highest level at the end, bytes.
    pub to: (u64, u64),
    /// The ceiling of the last one.
    pub ceiling: Option<Ceiling>,
    /// What the growth looked like.
    pub pattern: GrowthPattern,
    /// What may explain it.
    pub explanation: Explanation,
    /// What a reading of the heap said of the growth, where there was one.
    pub heap: Option<HeapEvidence>,
    /// What to set, in words, where something is known to help.
    pub advice: Option<String>,
    /// The runs on record, oldest first.
    pub runs: Vec<RunSummary>,
}

/// What the growth of runs looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthPattern {
    /// A climb in many steps.
    Steady,
    /// A climb in a few steps that are kept.
    Bursts,
    /// No climb: a single step ends the run.
    Spike,
    /// No climb: a level close to the ceiling.
    Flat,
    /// A climb of garbage that V8 has not collected.
    Garbage,
    /// No pattern in common, or too little seen.
    Mixed,
}

impl GrowthPattern {
    /// The name that leaves the agent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Bursts => "bursts",
            Self::Spike => "spike",
            Self::Flat => "flat",
            Self::Garbage => "garbage",
            Self::Mixed => "mixed",
        }
    }
}

/// What may explain kills that recur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explanation {
    /// The limit is too low for what is needed at times.
    Undersized,
    /// V8's heap limit lies above the container's.
    Misfit,
    /// A leak, or a limit that is too low: what was seen does not decide.
    Either,
}

impl Explanation {
    /// The name that leaves the agent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undersized => "undersized",
            Self::Misfit => "misfit",
            Self::Either => "leak_or_undersized",
        }
    }
}
