//! Slots: what is restarted in place; holds the ended runs and the detector's state.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    crash_loop::CrashLoop,
    ids::{ContainerId, SlotId},
    pairs,
};
use crate::{
    detect::{DetectConfig, SlotDetector},
    finding::{EndedRun, Finding, RunSummary},
    identity::{Release, Slot, Workload},
    registry::heap_watch::HeapWatch,
    time::BootTime,
};

/// Most slots kept, idle ones included.
pub(crate) const MAX_SLOTS: usize = 2_048;
/// Ended runs kept of a slot.
pub(crate) const MAX_RUNS: usize = 8;

/// What is known of a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlotState {
    pub(crate) workload: Workload,
    /// What the program of its last run is called where nobody names the container.
    #[serde(default)]
    pub(crate) program: String,
    /// Runs begun.
    pub(crate) runs: u64,
    /// The container whose run is the current one.
    pub(crate) current: Option<ContainerId>,
    /// Containers whose run begins when the current one is settled.
    pub(crate) waiting: VecDeque<ContainerId>,
    /// Release of the last run.
    pub(crate) release: Option<Release>,
    /// Restarts that its owner counted when the last run ended.
    pub(crate) restarts: Option<u32>,
    /// Container id of the run that ended last.
    pub(crate) last_container: Option<String>,
    /// Memory limit of the run that ended last, bytes, where it had one of its own.
    #[serde(default)]
    pub(crate) last_limit: Option<u64>,
    /// Ended runs, oldest first.
    pub(crate) ended: VecDeque<RunSummary>,
    pub(crate) detector: SlotDetector,
    /// Findings made, by which their ids differ.
    pub(crate) findings: u64,
    /// The pair of numbers last called a misfit: heap limit and cgroup limit.
    pub(crate) misfit: Option<(u64, u64)>,
    /// Restarts in a row after short runs that failed.
    #[serde(default)]
    pub(crate) crash_loop: CrashLoop,
    /// What was last said of its memory.
    #[serde(default)]
    pub(crate) said: Option<Box<Finding>>,
    /// Readings of the current process's heap.
    #[serde(default)]
    pub(crate) heap: HeapWatch,
    pub(crate) last_active: BootTime,
    /// Its pod is not to be observed: nothing is shown of it.
    #[serde(default)]
    pub(crate) left_out: bool,
    /// Another pod of its workload has taken its place, and what was learnt of it.
    #[serde(default)]
    pub(crate) succeeded: bool,
}

impl SlotState {
    pub(crate) fn new(workload: Workload, at: BootTime, config: DetectConfig) -> Self {
        Self {
            workload,
            program: String::new(),
            runs: 0,
            current: None,
            waiting: VecDeque::new(),
            release: None,
            restarts: None,
            last_container: None,
            last_limit: None,
            ended: VecDeque::new(),
            detector: SlotDetector::new(config),
            findings: 0,
            misfit: None,
            crash_loop: CrashLoop::default(),
            said: None,
            heap: HeapWatch::default(),
            last_active: at,
            left_out: false,
            succeeded: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// Its owner tells of the end of a container: `(id, what)`. Noted where it is the last one's.
    pub(crate) fn told_by_owner(&mut self, reported: Option<(String, String)>) {
        if let (Some((id, what)), Some(ended)) = (reported, self.ended.back_mut())
            && self.last_container.as_ref() == Some(&id)
        {
            ended.reported = Some(what);
        }
    }

    /// Replaces what detection knows of ended runs by all that is known of them.
    pub(crate) fn complete(&self, runs: &mut [RunSummary]) {
        for run in runs {
            let same =
                |ours: &&RunSummary| ours.run == run.run && (ours.started == run.started || ours.ended == run.ended);
            if let Some(ours) = self.ended.iter().find(same) {
                let slope_bytes_per_hour = ours.slope_bytes_per_hour.or(run.slope_bytes_per_hour);
                *run = RunSummary {
                    slope_bytes_per_hour,
                    ..ours.clone()
                };
            }
        }
    }

    pub(crate) fn keep(&mut self, ended: RunSummary) {
        if self.ended.len() == MAX_RUNS {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }
}

/// A run that has ended and waits for what follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Closing {
    pub(crate) ended: EndedRun,
    pub(crate) until: BootTime,
}

/// All slots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slots {
    #[serde(with = "pairs")]
    by_id: BTreeMap<SlotId, SlotState>,
}

impl Slots {
    pub(crate) fn get(&self, id: &SlotId) -> Option<&SlotState> {
        self.by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &SlotId) -> Option<&mut SlotState> {
        self.by_id.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SlotId, &SlotState)> {
        self.by_id.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SlotState> {
        self.by_id.values_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All instances of a slot, lowest first.
    pub(crate) fn instances(&self, slot: &Slot) -> impl Iterator<Item = (&SlotId, &SlotState)> {
        let from = SlotId {
            slot: slot.clone(),
            instance: 0,
        };
        let to = SlotId {
            slot: slot.clone(),
            instance: u32::MAX,
        };
        self.by_id.range(from..=to)
    }

    /// Adds a slot; `false` where all that are kept have a run and none can be forgotten.
    pub(crate) fn insert(&mut self, id: SlotId, state: SlotState, evicted: &mut u64) -> bool {
        if self.by_id.len() >= MAX_SLOTS {
            self.make_room(evicted);
            if self.by_id.len() >= MAX_SLOTS {
                return false;
            }
        }
        self.by_id.insert(id, state);
        true
    }

    pub(crate) fn remove(&mut self, id: &SlotId) -> Option<SlotState> {
        self.by_id.remove(id)
    }

    /// Forgets a thirty-second of the bound: the slots that have been idle longest.
    fn make_room(&mut self, evicted: &mut u64) {
        let mut idle: Vec<(BootTime, &SlotId)> = self
            .by_id
            .iter()
            .filter(|(_, s)| s.is_idle())
            .map(|(id, s)| (s.last_active, id))
            .collect();
        idle.sort_unstable();
        let oldest: Vec<SlotId> = idle
            .into_iter()
            .take(MAX_SLOTS / 32)
            .map(|(_, id)| id.clone())
            .collect();
        for id in oldest {
            self.by_id.remove(&id);
            *evicted += 1;
        }
    }
}
