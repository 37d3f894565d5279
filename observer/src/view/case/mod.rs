//! Cases: what is known of one container's memory and what was said of it, read from a history, a recording, or what the
//! agent knows. Explanations, the board and reports are made of them.

mod agent;
#[cfg(test)]
pub(in crate::view) mod alike;
mod history;
mod recording;
mod standing;
mod track;

use observer_core::{
    detect::{Attribution, Gate, State, Verdict},
    engine::view::{ReleaseView, RunView},
    finding::{Ceiling, RunSummary},
    heap::Diagnosis,
    sample::CgroupLevel,
    telemetry::Severity,
    time::WallTime,
};

use super::sawtooth::Mark;

pub(super) use agent::of_slot;
pub use agent::{of_engine, of_workloads};
pub use history::{of_containers, of_history};
pub use recording::{all_of_recording, of_recording};

/// What is known of one container's memory, and what was said of it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its name.
    pub whose: String,
    /// What was said last, or what was asked for; `None` where nothing was said.
    pub verdict: Option<Verdict>,
    /// What would have contradicted that, and was looked for.
    pub contradicted_by: Option<String>,
    /// Everything that was said: seconds after the first level, and the state.
    pub said: Vec<(f64, State)>,
    /// The verdicts themselves, oldest first; the last [`VERDICTS`].
    pub verdicts: Vec<Verdict>,
    /// (seconds, bytes), in order of time.
    pub levels: Vec<(f64, f64)>,
    /// When the first level was read, where a wall clock tells it.
    pub began: Option<WallTime>,
    /// Ends of runs.
    pub ends: Vec<Mark>,
    /// New versions: seconds after the first level, and which.
    pub rollouts: Vec<(f64, String)>,
    /// The ceiling last known, bytes.
    pub ceiling: Option<f64>,
    /// All ceilings last known, one of each kind.
    pub ceilings: Vec<Ceiling>,
    /// That it is killed again and again, in a sentence, where it is.
    pub recurring: Option<String>,
    /// That it came close to its ceiling, in a sentence, where that was said.
    pub near: Option<String>,
    /// That V8's heap limit and the container's do not fit, and what to set, where that was said.
    pub misfit: Option<String>,
    /// Seconds until the ceiling, as the engine knows them of the run in progress.
    pub left: Option<f64>,
    /// What was asked of its growth when that came nearest to being said, where nothing was.
    pub asked: Vec<Gate>,
    /// What grew in its heap, where it was read.
    pub diagnosis: Option<Diagnosis>,
    /// What happened, in order of time; the last [`HAPPENED`].
    pub happened: Vec<Happened>,
    /// Ended runs, oldest first.
    pub runs: Vec<RunSummary>,
    /// What was seen of each version.
    pub releases: Vec<ReleaseView>,
    /// The run in progress.
    pub current: Option<RunView>,
    /// Its cgroup's counters as they were last read.
    pub counters: Option<CgroupLevel>,
    /// What could not be seen, a sentence each.
    pub unseen: Vec<String>,
}

/// What is kept of what happened, at most.
pub const HAPPENED: usize = 500;

/// Verdicts kept, at most.
pub const VERDICTS: usize = 16;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// When, by the wall clock where there is one.
    pub wall: Option<WallTime>,
    /// Seconds after the first level, where no wall clock tells it.
    pub since: f64,
    /// How bad it is.
    pub severity: Severity,
    /// What, in a sentence.
    pub what: String,
}

impl Case {
    /// The state last said.
    pub fn state(&self) -> State {
        self.verdict.as_ref().map_or(State::Quiet, |verdict| verdict.state)
    }

    /// Takes a verdict in, as the last one said.
    fn judged(&mut self, verdict: &Verdict) {
        if self.verdicts.len() >= VERDICTS {
            self.verdicts.remove(0);
        }
        self.verdicts.push(verdict.clone());
    }

    /// Verdicts up to the one the case is about, of each state the last one, in order of time.
    pub(super) fn last_of_each_state(&self) -> Vec<&Verdict> {
        let Some(last) = &self.verdict else {
            return Vec::new();
        };
        let mut each: Vec<&Verdict> = Vec::new();
        for verdict in self.verdicts.iter().filter(|verdict| verdict.at <= last.at) {
            each.retain(|known| known.state != verdict.state);
            each.push(verdict);
        }
        if each.is_empty() {
            each.push(last);
        }
        each
    }

    /// Where it grew, as it was told last.
    pub(super) fn attribution(&self) -> Option<Attribution> {
        let told = self.last_of_each_state();
        told.into_iter().rev().find_map(|verdict| verdict.attribution)
    }
}
