//! The view: reads the registry, produces what `observer ps` and `observer history` show. Plain data, no wording.

use observer_common::growth::PLACES;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::{
    detect::{Gate, Pace, State},
    exit::Cause,
    finding::{Ceiling, Finding, RunSummary},
    heap::Diagnosis,
    identity::{Resource, Slot, Version, Workload},
    process::ProcessKey,
    registry::{SlotId, SlotState, workload::WorkloadState},
    time::{BootTime, WallTime},
};

/// A workload with its releases and its slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadView {
    /// What is deployed.
    pub workload: Workload,
    /// The service's name, as a backend shows it.
    pub service: String,
    /// The service's namespace, where it has one.
    pub service_namespace: Option<String>,
    /// What was seen of each version, in the order they were first seen.
    pub releases: Vec<ReleaseView>,
    /// Processes killed for memory.
    pub oom_kills: u64,
    /// Slots that got a new run.
    pub restarts: u64,
    /// Its slots, idle ones included.
    pub slots: Vec<SlotView>,
}

impl WorkloadView {
    /// Whether a person may mean it by this name: the workload's, its service's, or either with its namespace
    /// (`shop/checkout`).
    pub fn is_called(&self, name: &str) -> bool {
        self.workload.is_called(&self.service, name)
    }
}

/// A version of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its name; `None` where nothing tells versions apart.
    pub version: Option<Version>,
    /// First run.
    pub first_seen: WallTime,
    /// It was running before observation began.
    pub found: bool,
    /// Last end of a run, while none is in progress; else now.
    pub last_seen: WallTime,
    /// Runs begun.
    pub runs: u64,
    /// Runs in progress.
    pub live: u64,
    /// Ends by cause.
    pub ends: Vec<(Cause, u64)>,
    /// What is said of it.
    pub state: State,
    /// Steepest slope said, bytes per hour.
    pub slope_bytes_per_hour: Option<f64>,
    /// Highest usage of its ended runs, bytes.
    pub peak: u64,
}

/// A slot and its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotView {
    /// Which.
    pub slot: Slot,
    /// Which of several alike.
    pub instance: u32,
    /// What is said of it.
    pub state: State,
    /// Slope of the floor, bytes per hour, while growth holds.
    pub slope_bytes_per_hour: Option<f64>,
    /// Standard error of that slope.
    pub slope_standard_error: Option<f64>,
    /// Slope, standard error and floor of the run in progress, whether or not growth holds.
    #[serde(default)]
    pub pace: Option<Pace>,
    /// Every ceiling of the run in progress, one of each kind.
    #[serde(default)]
    pub ceilings: Vec<Ceiling>,
    /// Seconds to the ceiling, while growth holds.
    pub time_to_ceiling_s: Option<f64>,
    /// Runs begun.
    pub runs: u64,
    /// The run in progress.
    pub current: Option<RunView>,
    /// Ended runs, oldest first; the last eight.
    pub ended: Vec<RunSummary>,
    /// What was last said of its memory.
    pub said: Option<Box<Finding>>,
    /// Its level over its runs, as far as it is remembered, bytes; only where something was said, or it was asked for by name.
    pub levels: Vec<(BootTime, u64)>,
    /// What is asked of the run in progress, and what is measured; only where it was asked for by name.
    #[serde(default)]
    pub asked: Vec<Gate>,
    /// What was found in the heap of its process, or of the one before, where it was read.
    #[serde(default)]
    pub diagnosis: Option<Diagnosis>,
}

/// A run in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its number within the slot.
    pub run: u64,
    /// Its version.
    pub version: Option<Version>,
    /// Start.
    pub started: WallTime,
    /// Start, by the boot clock.
    pub started_boot: BootTime,
    /// It was running before observation began.
    pub found: bool,
    /// Something may have been missed while it ran.
    pub gap: bool,
    /// The main Node.js process.
    pub main: ProcessKey,
    /// Known processes.
    pub processes: usize,
    /// Anonymous, swapped, shared and unreclaimable memory, bytes.
    pub level: Option<u64>,
    /// Usage, page cache included, bytes.
    pub usage: Option<u64>,
    /// Resident memory of the main process, bytes.
    pub rss: Option<u64>,
    /// Anonymous memory of its cgroup, bytes; `None` where it has none of its own.
    pub anon: Option<u64>,
    /// Usage of its cgroup without page cache that has not been used for long, bytes; likewise.
    pub working_set: Option<u64>,
    /// Page cache of its cgroup, bytes; likewise.
    #[serde(default)]
    pub page_cache: Option<u64>,
    /// Highest usage, bytes.
    pub peak: u64,
    /// The ceiling it would die at.
    pub ceiling: Option<Ceiling>,
    /// V8's heap limit, predicted, bytes.
    pub heap_limit: Option<u64>,
    /// The limit of its container or pod, bytes; not one further above, which it shares with others.
    pub cgroup_limit: Option<u64>,
    /// The memory limit that Kubernetes says is in force for its container, bytes.
    #[serde(default)]
    pub limit_current: Option<u64>,
    /// The memory limit that its container's specification asks for, bytes.
    #[serde(default)]
    pub limit_desired: Option<u64>,
    /// Net growth by place since it is traced, bytes, in the order of [`observer_common::growth::Place::ALL`].
    pub growth: Option<[i64; PLACES]>,
    /// Restarts that Kubernetes or the engine counts.
    pub restart_count: Option<u32>,
    /// Growth is being traced.
    pub traced: bool,
    /// The Resource under which its telemetry goes out.
    pub resource: Resource,
}

/// Seconds beyond which growth leads nowhere: a hundred years.
const NEVER: f64 = 3.2e9;

impl Engine {
    /// All workloads known, by name.
    pub fn workloads(&self) -> Vec<WorkloadView> {
        let workloads = self.registry.workloads.iter();
        workloads
            .filter(|(workload, _)| !self.is_all_left_out(workload))
            .map(|(workload, state)| self.workload_view(workload, state))
            .collect()
    }

    /// The workloads that a person may mean by this name, or all where none is called so; those with all that explains them.
    pub fn explained(&self, name: &str) -> Vec<WorkloadView> {
        let mut workloads = self.workloads();
        for view in &mut workloads {
            let called = view.is_called(name);
            for slot in &mut view.slots {
                let id = SlotId {
                    slot: slot.slot.clone(),
                    instance: slot.instance,
                };
                if let Some(state) = self
                    .registry
                    .slots
                    .get(&id)
                    .filter(|_| called || id.slot.to_string() == name)
                {
                    slot.levels = state.detector.levels();
                    slot.asked = state.detector.gates();
                }
            }
        }
        workloads
    }

    /// Whether nothing of a workload is to be shown: its pods were observed once, and are no longer.
    fn is_all_left_out(&self, workload: &Workload) -> bool {
        let slots = self.registry.slots.iter().map(|(_, slot)| slot);
        let mut own = slots.filter(|slot| slot.workload == *workload).peekable();
        own.peek().is_some() && own.all(|slot| slot.left_out)
    }

    fn workload_view(&self, workload: &Workload, state: &WorkloadState) -> WorkloadView {
        let slots = self
            .registry
            .slots
            .iter()
            .filter(|(_, slot)| slot.workload == *workload && !slot.left_out);
        let slots: Vec<(&SlotId, &SlotState)> = slots.collect();
        let (service, service_namespace) = state
            .service
            .clone()
            .unwrap_or_else(|| (workload.name.clone(), workload.namespace.clone()));
        WorkloadView {
            service,
            service_namespace,
            workload: workload.clone(),
            oom_kills: state.oom_kills,
            restarts: state.restarts,
            releases: state.releases.iter().map(|r| self.release_view(r)).collect(),
            slots: slots.into_iter().map(|(id, slot)| self.slot_view(id, slot)).collect(),
        }
    }

    fn release_view(&self, release: &crate::registry::workload::ReleaseState) -> ReleaseView {
        ReleaseView {
            version: release.release.name(),
            first_seen: self.time.wall(release.first_seen),
            last_seen: self.time.wall(if release.live > 0 {
                self.time.now
            } else {
                release.last_seen
            }),
            found: release.found,
            runs: release.runs,
            live: release.live,
            ends: release.ends.iter().map(|(cause, count)| (*cause, *count)).collect(),
            state: release.worst,
            slope_bytes_per_hour: release.slope,
            peak: release.peak,
        }
    }

    fn slot_view(&self, id: &SlotId, state: &SlotState) -> SlotView {
        SlotView {
            slot: id.slot.clone(),
            instance: id.instance,
            state: state.detector.state(),
            slope_bytes_per_hour: state.detector.slope().map(|(slope, _)| slope),
            slope_standard_error: state.detector.slope().map(|(_, error)| error),
            pace: state.detector.pace(),
            ceilings: state.detector.ceilings(),
            // Growth away from every ceiling has none.
            time_to_ceiling_s: state.detector.time_to_ceiling_s().filter(|s| *s < NEVER),
            runs: state.runs,
            current: state.current.and_then(|id| self.run_view(id, state)),
            ended: state.ended.iter().cloned().collect(),
            levels: state.said.as_ref().map_or_else(Vec::new, |_| state.detector.levels()),
            asked: Vec::new(),
            said: state.said.clone(),
            diagnosis: state.heap.diagnosis.as_ref().map(|(_, diagnosis)| diagnosis.clone()),
        }
    }

    fn run_view(&self, id: crate::registry::ContainerId, state: &SlotState) -> Option<RunView> {
        let container = self.registry.containers.get(id)?;
        let run = &container.run;
        Some(RunView {
            run: run.number,
            version: run.release.name(),
            started: self.time.wall(run.started),
            started_boot: run.started,
            found: run.found,
            gap: run.gap,
            main: container.main,
            processes: container.members.len(),
            level: run.trend,
            usage: run.usage,
            rss: run.rss,
            anon: run.anon,
            working_set: run.working_set,
            page_cache: run.page_cache,
            peak: run.peak,
            ceiling: state.detector.ceiling().or_else(|| run.ceiling()),
            heap_limit: run.heap_limit,
            cgroup_limit: container.own_limit().map(|l| l.bytes),
            limit_current: container.named.as_ref().and_then(|named| named.memory_limit),
            limit_desired: container.named.as_ref().and_then(|named| named.memory_limit_desired),
            growth: run.growth,
            restart_count: container.named.as_ref().and_then(|named| named.restart_count),
            traced: run.tracing,
            resource: run.subject.resource.clone(),
        })
    }
}
