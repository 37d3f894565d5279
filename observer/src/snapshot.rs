//! The agent's state at one instant: what `observer status` shows, and what metrics are made of.

use std::fs;

use observer_core::{engine::view::WorkloadView, input::Lost, time::WallTime};
use serde::{Deserialize, Serialize};

/// Everything, at one instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The agent itself.
    pub agent: AgentView,
    /// When it began.
    pub began: WallTime,
    /// The time it shows.
    pub now: WallTime,
    /// Since when runs and kills of workloads are counted: over restarts of the agent, where it has a store.
    pub counting_since: WallTime,
    /// What it observes.
    pub workloads: Vec<WorkloadView>,
}

/// The agent itself. Counts are since its start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AgentView {
    /// Its version.
    pub version: String,
    /// Its host.
    pub host: String,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// How each hook is served: name and rung.
    pub hooks: Vec<(String, String)>,
    /// Processes known.
    pub processes: usize,
    /// Containers known, those of pods that are left out not counted.
    pub containers: usize,
    /// Containers of pods that namespace or annotation leaves out.
    #[serde(default)]
    pub left_out: usize,
    /// Inputs stepped.
    pub inputs: u64,
    /// Inputs that came too late for their place in the order of time.
    pub late: u64,
    /// Findings made.
    pub findings: u64,
    /// Findings that standard output did not take.
    pub not_printed: u64,
    /// Records lost, by stage and kind.
    pub lost: Vec<Lost>,
    /// Put out to keep memory bounded, by kind.
    pub evicted: Vec<(String, u64)>,
    /// Victims that the kernel's OOM killer marked, by what became of them.
    #[serde(default)]
    pub oom_marks: Vec<(String, u64)>,
    /// Each signal's delivery.
    pub export: Vec<ExporterView>,
    /// What is kept over the agent's end; `None` without a store.
    pub store: Option<StoreView>,
    /// Duration of the last sweep over the watched, seconds.
    pub sweep_s: f64,
    /// Readers that have shown no sign of life for longer than two of their intervals.
    pub stalled: Vec<String>,
    /// What it was not given here, and what is lost by that: capabilities, hooks, cgroups, store, socket; and the API server while it
    /// does not answer or refuses.
    #[serde(default)]
    pub limits: Vec<String>,
    /// Resident memory, bytes.
    pub memory: u64,
    /// CPU time used, seconds.
    pub cpu_s: f64,
}

/// What is kept over the agent's end. Counts are since its start, but for what is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreView {
    /// Whether it went on from an earlier agent's state.
    pub resumed: bool,
    /// Records in the history.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times that the engine's state was put away.
    pub states: u64,
    /// Bytes of the engine's state put away last.
    pub state_bytes: u64,
    /// Records of the history that made room for newer ones.
    pub dropped: u64,
    /// Records that were not written.
    pub lost: u64,
    /// Records and states that could not be read back.
    pub damaged: u64,
    /// States of another version, ignored.
    pub foreign: u64,
    /// Syncs that failed.
    pub failed: u64,
    /// Records waiting for delivery that an earlier agent left.
    pub restored: u64,
}

/// One signal's delivery.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExporterView {
    /// What goes where.
    pub name: String,
    /// `logs`, `traces`, `metrics`, `own_metrics` (the agent's own), or `kubernetes_events`.
    pub signal: String,
    /// Seconds the oldest record has waited.
    pub oldest_s: f64,
    /// Records waiting.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Taken by the receiver.
    pub delivered: u64,
    /// Rejected within a request that it took.
    pub rejected: u64,
    /// Refused for good.
    pub refused: u64,
    /// Dropped because there was no room.
    pub dropped: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Why the last request failed, while it does.
    pub failing: Option<String>,
}

/// Resident memory in bytes and CPU time in seconds of this process; zeros where they cannot be read.
pub(crate) fn own_use() -> (u64, f64) {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    (pages * rustix::param::page_size() as u64, seconds)
}
