//! Findings: what the agent states, with its evidence.

mod advice;
mod end;
mod growth;
mod recurring;
mod run;
mod verdict;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    heap::Diagnosis,
    identity::{Subject, Version},
    time::{Anchor, BootTime, WallTime},
};

pub use advice::{Forecast, HeapFlag, LargerLimit, PageCache};
pub use end::{Cause, Confidence, End, OomKiller, Sender};
pub(crate) use growth::MOST;
pub use growth::{Attribution, HeapEvidence, Shares};
pub use recurring::{Explanation, GrowthPattern, RecurringOom};
pub use run::{Ceiling, CeilingKind, EndedRun, RunSummary};
pub use verdict::{Blame, Comparison, Gate, Side, State, Verdict};

/// Something the agent states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable across replays and re-deliveries: a receiver may drop a second record with the same id.
    pub id: String,
    /// When it occurred, not when it was noticed.
    pub at: BootTime,
    /// The same on the wall clock.
    pub wall: WallTime,
    /// Whose it is; `None` for the agent's own (a gap).
    pub subject: Option<Arc<Subject>>,
    /// What is stated.
    pub event: Event,
    /// Seen, or concluded.
    pub confidence: Confidence,
    /// What would have contradicted it and was looked for.
    pub contradicted_by: String,
}

impl Finding {
    /// The wall-clock time of another instant, by what the clocks showed at this finding's.
    pub(crate) const fn wall_of(&self, at: BootTime) -> WallTime {
        Anchor {
            boot: self.at,
            wall: self.wall,
        }
        .wall(at)
    }
}

/// The kinds of findings; each is one event of docs/telemetry.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// `observer.process.oom_kill`
    OomKill(OomKill),
    /// `observer.v8.heap_oom`
    HeapOom(HeapOom),
    /// `observer.container.restart`
    Restart(Box<Restart>),
    /// `observer.container.crash_loop`
    CrashLoop(Box<CrashLoop>),
    /// `observer.memory.near_ceiling`
    NearCeiling(NearCeiling),
    /// `observer.memory.leak_suspected`, `_likely`, `_confirmed`, `_retracted`, `_resolved`, by its state
    Leak(Box<Verdict>),
    /// `observer.memory.misfit`
    Misfit(Misfit),
    /// `observer.memory.recurring_oom`
    RecurringOom(Box<RecurringOom>),
    /// `observer.rollout.observed`
    Rollout(Rollout),
    /// `observer.memory.diagnosis`
    Diagnosis(Box<Diagnosis>),
    /// `observer.memory.heap_read`
    HeapRead(HeapRead),
    /// `observer.gap`
    Gap(Gap),
}

impl Event {
    /// Its name without the prefix that telemetry adds; stable, and part of a finding's id.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::OomKill(_) => "oom_kill",
            Self::HeapOom(_) => "heap_oom",
            Self::Restart(_) => "restart",
            Self::CrashLoop(_) => "crash_loop",
            Self::NearCeiling(_) => "near_ceiling",
            Self::Leak(_) => "leak",
            Self::Misfit(_) => "misfit",
            Self::RecurringOom(_) => "recurring_oom",
            Self::Rollout(_) => "rollout",
            Self::Diagnosis(_) => "diagnosis",
            Self::HeapRead(_) => "heap_read",
            Self::Gap(_) => "gap",
        }
    }
}

/// A watched process was killed for memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OomKill {
    /// Who killed.
    pub killer: OomKiller,
    /// Whose limit was hit.
    pub scope: OomScope,
    /// The cgroup whose limit was hit, where known.
    pub cgroup: Option<String>,
    /// That limit, bytes.
    pub limit: Option<u64>,
    /// Usage last seen, bytes.
    pub usage: Option<u64>,
    /// The victim's anonymous resident bytes.
    pub anon: Option<u64>,
    /// The victim's file-backed resident bytes.
    pub file: Option<u64>,
    /// The victim's shared-memory resident bytes.
    pub shmem: Option<u64>,
    /// The victim's pid on the host.
    pub pid: u32,
    /// The victim's name.
    pub comm: String,
    /// It was its container's main process.
    pub main_process: bool,
    /// Others of the same container killed with it.
    pub co_victims: u32,
}

/// Whose limit an OOM kill enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OomScope {
    /// The container's own cgroup.
    Container,
    /// Its pod's, or what a bare process shares with others.
    Pod,
    /// A group's further above: a node's for all its pods, a slice.
    Group,
    /// The host ran out.
    Host,
    /// Not known.
    Unknown,
}

/// A Node process died of V8's heap limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapOom {
    /// V8's heap limit, bytes.
    pub heap_limit: Option<u64>,
    /// Whether `heap_limit` was predicted from version, limit and flags.
    pub predicted: bool,
    /// Resident bytes last seen.
    pub rss: Option<u64>,
    /// The cgroup's limit, bytes.
    pub cgroup_limit: Option<u64>,
    /// How it ended.
    pub end: End,
}

/// A slot got a new run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// Number of the run that began.
    pub run: u64,
    /// The run that ended.
    pub previous: RunSummary,
    /// Its version differed from the new run's.
    pub rollout: bool,
    /// Runs between the two that nobody saw, by the owner's own count of restarts.
    #[serde(default)]
    pub unseen: u32,
}

/// A slot restarts again and again, each time after a short run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrashLoop {
    /// Restarts in it so far.
    pub restarts: u32,
    /// Start of its first run; tells one loop of a slot from another.
    pub since: WallTime,
    /// Seconds from that start to the last restart.
    pub within_s: f64,
    /// Seconds from one restart to the next, the mean since the last update.
    pub interval_s: f64,
    /// Causes of the ends, the most frequent first.
    pub causes: Vec<(Cause, u32)>,
    /// The run that ended last.
    pub last: Option<RunSummary>,
    /// It is over: the run in progress has outlived it.
    pub over: bool,
}

/// A run passed a share of its lower ceiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearCeiling {
    /// The ceiling.
    pub ceiling: Ceiling,
    /// Level over ceiling.
    pub ratio: f64,
    /// Level, bytes.
    pub level: u64,
    /// Seconds until it is reached, where a slope is known.
    pub time_to_ceiling_s: Option<f64>,
}

/// Two ceilings contradict each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misfit {
    /// V8's heap limit, bytes.
    pub heap_limit: u64,
    /// The container's limit, bytes.
    pub cgroup_limit: u64,
    /// `--max-old-space-size` that fits the container, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_space_mib: Option<u64>,
    /// What to set, in words.
    pub advice: String,
}

/// First run of a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version before.
    pub from: Option<Version>,
    /// The new version.
    pub to: Version,
    /// What changed, in words: image digest, template hash, package version.
    pub changed: String,
}

/// The agent read a heap from outside, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapRead {
    /// Whose, on the host.
    pub pid: u32,
    /// How long it took, nanoseconds.
    pub took_ns: u64,
    /// Bytes of the process's memory that were read.
    pub bytes: u64,
    /// Why it was not read, or not yet.
    pub not_read: Option<String>,
}

/// The agent could not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// From when.
    pub from: BootTime,
    /// To when.
    pub to: BootTime,
    /// Why.
    pub reason: String,
    /// Records known to be lost in it.
    pub lost: u64,
    /// How long it lasted by the wall clock, ns, where the host was restarted in it: times of two boots do not compare.
    #[serde(default)]
    pub over_boot: Option<u64>,
}

impl Gap {
    /// How long nothing could be seen, ns.
    pub fn lasted(&self) -> u64 {
        self.over_boot.unwrap_or_else(|| self.to.since(self.from))
    }
}
