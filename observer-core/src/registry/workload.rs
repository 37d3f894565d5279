//! Workloads and their releases: reads runs as they begin and end, produces which release is new, and what each one did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pairs;
use crate::{
    detect::State,
    exit::Cause,
    identity::{Release, Workload},
    time::{BootTime, SECOND},
};

/// Most workloads kept, and most releases of one.
const MAX_WORKLOADS: usize = 2_048;
const MAX_RELEASES: usize = 16;
/// Nanoseconds without any run after which a release that runs again has been rolled back to: a pod that is merely
/// replaced is back sooner.
const ABSENT: u64 = 60 * SECOND;

/// One release of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReleaseState {
    pub(crate) release: Release,
    pub(crate) first_seen: BootTime,
    /// Last end of a run, while none is live.
    pub(crate) last_seen: BootTime,
    /// It ran before the agent did: its first run was not seen.
    pub(crate) found: bool,
    pub(crate) live: u64,
    pub(crate) runs: u64,
    #[serde(with = "pairs")]
    pub(crate) ends: BTreeMap<Cause, u64>,
    /// Most that was said of it.
    pub(crate) worst: State,
    /// Highest peak, bytes.
    pub(crate) peak: u64,
    /// Steepest slope said, bytes per hour.
    pub(crate) slope: Option<f64>,
}

impl ReleaseState {
    /// It is reported to leak.
    pub(crate) const fn leaks(&self) -> bool {
        matches!(self.worst, State::Suspected | State::Likely | State::Confirmed)
    }

    /// Takes in the runs of what turned out to be the same release.
    fn take_in(&mut self, other: Self) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.found |= other.found;
        self.live += other.live;
        self.runs += other.runs;
        for (cause, count) in other.ends {
            *self.ends.entry(cause).or_insert(0) += count;
        }
        self.worst = self.worst.max(other.worst);
        self.peak = self.peak.max(other.peak);
        self.slope = self.slope.into_iter().chain(other.slope).reduce(f64::max);
    }

    /// Nanoseconds from its first run to its last.
    pub(crate) fn observed_ns(&self, now: BootTime) -> u64 {
        if self.live > 0 {
            now.since(self.first_seen)
        } else {
            self.last_seen.since(self.first_seen)
        }
    }
}

/// The releases of a workload, in the order they were first seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkloadState {
    pub(crate) releases: Vec<ReleaseState>,
    /// The release rolled out last.
    pub(crate) current: Option<Release>,
    /// Release of which `resolved` was said last: replicas say it again.
    pub(crate) resolved: Option<Release>,
    /// Name and namespace of its service, as its last run's Resource had them.
    pub(crate) service: Option<(String, Option<String>)>,
    /// Processes killed for memory.
    pub(crate) oom_kills: u64,
    /// Slots that got a new run.
    pub(crate) restarts: u64,
}

/// What the beginning of a run says of its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// The release that was current before, where this one takes its place.
    pub(crate) replaces: Option<Release>,
    /// It had run before and was gone.
    pub(crate) returned: bool,
}

impl WorkloadState {
    pub(crate) fn get_mut(&mut self, release: &Release) -> Option<&mut ReleaseState> {
        self.releases.iter_mut().find(|r| r.release == *release)
    }

    /// A run of a release begins. `in_place` is the release of the run before it in its slot.
    fn enter(&mut self, release: &Release, at: BootTime, found: bool, in_place: Option<&Release>) -> Entered {
        let known = self.get_mut(release);
        let absent = known
            .as_ref()
            .is_some_and(|r| r.live == 0 && at.since(r.last_seen) >= ABSENT);
        let is_new = known.is_none();
        if let Some(state) = known {
            state.live += 1;
            state.runs += 1;
            state.first_seen = state.first_seen.min(at);
            state.found |= found;
        } else {
            if self.releases.len() >= MAX_RELEASES {
                let oldest = self.releases.iter().position(|r| r.live == 0).unwrap_or(0);
                self.releases.remove(oldest);
            }
            let state = ReleaseState {
                release: release.clone(),
                first_seen: at,
                last_seen: at,
                found,
                live: 1,
                runs: 1,
                ends: BTreeMap::new(),
                worst: State::Quiet,
                peak: 0,
                slope: None,
            };
            let place = self
                .releases
                .iter()
                .position(|r| r.first_seen > at)
                .unwrap_or(self.releases.len());
            self.releases.insert(place, state);
        }
        let changed_in_place = in_place.is_some_and(|before| before != release);
        let takes_over = self.current.as_ref() != Some(release) && (is_new || absent || changed_in_place);
        let replaces = self.current.clone().filter(|_| takes_over);
        if takes_over {
            self.current = Some(release.clone());
        }
        Entered {
            replaces,
            returned: takes_over && !is_new,
        }
    }

    /// Another release took over after this one.
    pub(crate) fn is_superseded(&self, release: &Release) -> bool {
        self.current.as_ref().is_some_and(|current| current != release)
    }
}

/// All workloads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Workloads {
    #[serde(with = "pairs")]
    by_name: BTreeMap<Workload, WorkloadState>,
}

impl Workloads {
    pub(crate) fn get(&self, workload: &Workload) -> Option<&WorkloadState> {
        self.by_name.get(workload)
    }

    pub(crate) fn get_mut(&mut self, workload: &Workload) -> Option<&mut WorkloadState> {
        self.by_name.get_mut(workload)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Workload, &WorkloadState)> {
        self.by_name.iter()
    }

    /// A run begins; the workload that has been idle longest makes room.
    pub(crate) fn enter(
        &mut self,
        workload: &Workload,
        release: &Release,
        (at, found): (BootTime, bool),
        in_place: Option<&Release>,
        evicted: &mut u64,
    ) -> Entered {
        if self.by_name.len() >= MAX_WORKLOADS && !self.by_name.contains_key(workload) {
            let last_seen = |w: &WorkloadState| w.releases.iter().map(|r| (r.live, r.last_seen)).max();
            let idlest = self
                .by_name
                .iter()
                .min_by_key(|(_, w)| last_seen(w))
                .map(|(name, _)| name.clone());
            if let Some(idlest) = idlest {
                self.by_name.remove(&idlest);
                *evicted += 1;
            }
        }
        self.by_name
            .entry(workload.clone())
            .or_default()
            .enter(release, at, found, in_place)
    }

    /// A release is known better: its runs are those of the one it turns out to be.
    pub(crate) fn rename(&mut self, workload: &Workload, from: &Release, to: &Release) {
        let Some(state) = self.by_name.get_mut(workload) else {
            return;
        };
        for named in [&mut state.current, &mut state.resolved].into_iter().flatten() {
            if *named == *from {
                named.clone_from(to);
            }
        }
        let Some(at) = state.releases.iter().position(|r| r.release == *from) else {
            return;
        };
        let renamed = state.releases.remove(at);
        match state.get_mut(to) {
            Some(known) => known.take_in(renamed),
            None => state.releases.insert(
                at,
                ReleaseState {
                    release: to.clone(),
                    ..renamed
                },
            ),
        }
    }

    /// An end turned out to have another cause.
    pub(crate) fn recount(&mut self, workload: &Workload, release: &Release, from: Cause, to: Cause) {
        let Some(entry) = self.by_name.get_mut(workload).and_then(|state| state.get_mut(release)) else {
            return;
        };
        if let Some(count) = entry.ends.get_mut(&from).filter(|count| from != to && **count > 0) {
            *count -= 1;
            *entry.ends.entry(to).or_insert(0) += 1;
            entry.ends.retain(|_, count| *count > 0);
        }
    }

    /// A run leaves a release: it ended, or it turned out to belong to another (`cause` is `None`).
    pub(crate) fn leave(&mut self, workload: &Workload, release: &Release, at: BootTime, cause: Option<Cause>) {
        let Some(state) = self.by_name.get_mut(workload) else {
            return;
        };
        let Some(entry) = state.get_mut(release) else { return };
        entry.live = entry.live.saturating_sub(1);
        entry.last_seen = entry.last_seen.max(at);
        if let Some(cause) = cause {
            *entry.ends.entry(cause).or_insert(0) += 1;
            return;
        }
        entry.runs = entry.runs.saturating_sub(1);
        if entry.runs == 0 {
            state.releases.retain(|r| r.release != *release);
            if state.current.as_ref() == Some(release) {
                state.current = state.releases.last().map(|r| r.release.clone());
            }
            if state.releases.is_empty() {
                self.by_name.remove(workload);
            }
        }
    }
}
