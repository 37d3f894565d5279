//! Which heaps of a slot's processes are read, and when: reads levels and answers, produces the reading that is due.

use serde::{Deserialize, Serialize};

use crate::{
    detect::State,
    heap::{Diagnosis, HeapAnswer, Outcome},
    identity::Version,
    process::ProcessKey,
    time::{BootTime, SECOND},
};

/// A reading that was asked for and never answered is given up after this.
const PATIENCE: u64 = 600 * SECOND;
/// A reading that could not be done at that moment is tried again after this.
const AGAIN: u64 = 60 * SECOND;
/// The last part of a run, counted to where its forecast ends, in which it is read once more, whatever was read before.
const LAST_PART: u64 = 10;
/// Part of the time the forecast leaves after which the next reading comes, where that is sooner than the interval.
const OF_WHAT_IS_LEFT: u64 = 6;
/// So many times as long as the last reading took, the next is away from it at least: closer ones cannot be compared with the
/// container's growth.
const APART: u64 = 4;
/// Readings at which a culprit must have risen before no more are needed.
const READINGS: u32 = 3;
/// The least growth between two readings that are compared, bytes, and as a share of the level at the first.
const GROWN: u64 = 8 << 20;
const GROWN_SHARE: u64 = 10;

/// What is known of the readings of a slot's current process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeapWatch {
    process: Option<ProcessKey>,
    asked: Option<BootTime>,
    /// When this process was asked about last.
    #[serde(default)]
    asked_at: BootTime,
    /// The next process's first reading comes no sooner.
    not_before: BootTime,
    /// This process is not read again sooner.
    #[serde(default)]
    rests_until: BootTime,
    /// It was read shortly before its forecast end.
    #[serde(default)]
    last_done: bool,
    /// Level and shared memory when the process was first seen, bytes.
    #[serde(default)]
    from: Option<Level>,
    /// At the reading that the next is compared with.
    #[serde(default)]
    compared_with: Option<Level>,
    /// At the reading that was answered last, and at the one that was asked for last.
    #[serde(default)]
    read_at: Level,
    #[serde(default)]
    now: Level,
    compare: bool,
    /// Refused: it is not read again.
    done: bool,
    /// A culprit was found while the leak was in this state.
    #[serde(default)]
    found: Option<State>,
    /// The last comparison in time, and of which version.
    pub(crate) diagnosis: Option<(Option<Version>, Diagnosis)>,
}

/// What a container holds, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Level {
    /// In all.
    pub(crate) all: u64,
    /// Of that, shared memory and files of a tmpfs, which no heap holds.
    pub(crate) shmem: u64,
}

impl Level {
    /// Whether most of what grew since is no process's.
    fn is_shmem_since(self, before: Self) -> bool {
        let shmem = self.shmem.saturating_sub(before.shmem);
        shmem > 0 && shmem.saturating_mul(2) >= self.all.saturating_sub(before.all)
    }
}

/// What is known of a run when it is asked whether a reading is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Now.
    pub(crate) at: BootTime,
    /// The container's main process.
    pub(crate) process: ProcessKey,
    /// What is said of its growth, where a reading is wanted.
    pub(crate) wanted: Option<State>,
    /// What the container holds.
    pub(crate) level: Level,
    /// The run's age, and the time that the forecast leaves it, nanoseconds.
    pub(crate) age_ns: u64,
    pub(crate) left_ns: Option<u64>,
}

impl Moment {
    /// Whether the run is about to end.
    fn is_last(&self) -> bool {
        self.left_ns
            .is_some_and(|left| left <= self.age_ns.saturating_add(left) / LAST_PART)
    }
}

/// A reading that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Whether it is compared with an earlier one.
    pub(crate) compare: bool,
    /// By how much the container grew since that, bytes.
    pub(crate) grown: u64,
}

impl HeapWatch {
    /// Whether a reading is due now. A run's first: after `interval_ns` at the earliest. The next ones: after the same, or a sixth of
    /// the time that the forecast leaves, and where the level has grown by enough. One more comes shortly before the forecast end.
    pub(crate) fn due(&mut self, moment: &Moment, interval_ns: u64) -> Option<Due> {
        let Moment { at, process, level, .. } = *moment;
        if self.process != Some(process) {
            *self = Self {
                process: Some(process),
                not_before: self.not_before,
                diagnosis: self.diagnosis.take(),
                from: Some(level),
                ..Self::default()
            };
        }
        if self.asked.is_some_and(|asked| at.since(asked) > PATIENCE) {
            self.asked = None;
        }
        let state = moment.wanted?;
        let grown = match self.compared_with {
            None => 0,
            Some(base) => level.all.saturating_sub(base.all),
        };
        let wanted = if self.compared_with.is_none() {
            at >= self.not_before
        } else {
            let since = level.all.saturating_sub(self.read_at.all);
            let enough = since >= GROWN.max(self.read_at.all / 100 * GROWN_SHARE);
            let pause = moment
                .left_ns
                .map_or(interval_ns, |left| interval_ns.min(left / OF_WHAT_IS_LEFT));
            let last = moment.is_last() && !self.last_done && since >= GROWN;
            let next = enough && !self.is_settled(state) && at >= self.asked_at.plus(pause);
            at >= self.rests_until && (last || next)
        };
        let since = self.compared_with.or(self.from).unwrap_or_default();
        if !wanted || level.is_shmem_since(since) || self.done || self.asked.is_some() {
            return None;
        }
        self.last_done |= moment.is_last();
        self.asked = Some(at);
        self.asked_at = at;
        self.compare = self.compared_with.is_some();
        self.now = level;
        // Counted from the request: an answer that never comes costs the process the same.
        self.not_before = at.plus(interval_ns);
        Some(Due {
            compare: self.compare,
            grown,
        })
    }

    /// Takes an answer in; whether it was waited for, and whether it says something new.
    pub(crate) fn answered(
        &mut self,
        at: BootTime,
        answer: &HeapAnswer,
        version: Option<&Version>,
        state: State,
    ) -> Option<News> {
        if self.process != Some(answer.process) || self.asked.take().is_none() {
            return None;
        }
        self.rests_until = at.plus(answer.took_ns.saturating_mul(APART));
        if matches!(answer.outcome, Outcome::First { .. } | Outcome::Compared(_)) {
            self.read_at = self.now;
        }
        match &answer.outcome {
            Outcome::First { .. } => self.compared_with = Some(self.now),
            Outcome::Compared(diagnosis) => {
                let same = self
                    .diagnosis
                    .as_ref()
                    .is_some_and(|(of, before)| of.as_ref() == version && before.says(diagnosis));
                self.found = diagnosis.culprit().map(|_| state);
                if self.found.is_none() {
                    // The next is compared with this one: what warmed up before it is no news.
                    self.compared_with = Some(self.now);
                }
                self.diagnosis = Some((version.cloned(), (**diagnosis).clone()));
                return Some(if same { News::Same } else { News::New });
            }
            Outcome::Postponed(_) => {
                self.not_before = at.plus(AGAIN);
                self.rests_until = at.plus(AGAIN);
                self.asked_at = BootTime::default();
                self.last_done = false;
            }
            // What was refused once is refused again: a build without symbols, a version unknown.
            Outcome::Refused(_) => self.done = true,
        }
        Some(News::New)
    }
}

impl HeapWatch {
    /// A culprit was found in this state, and rose at enough readings.
    fn is_settled(&self, state: State) -> bool {
        // Recordings of earlier versions do not say how many there were.
        let readings = self.diagnosis.as_ref().map_or(0, |(_, diagnosis)| diagnosis.readings);
        self.found == Some(state) && (readings == 0 || readings >= READINGS)
    }
}

/// Whether an answer says what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It does.
    Same,
    /// It does not.
    New,
}

#[cfg(test)]
mod tests;
