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
mod tests {
    use super::*;
    use crate::heap::{Compared, ContainerGrowth, Grower};

    const HOUR: u64 = 3_600 * SECOND;
    const MIB: u64 = 1 << 20;

    fn at(seconds: u64) -> BootTime {
        BootTime(seconds * SECOND)
    }

    fn answer(process: ProcessKey, outcome: Outcome) -> HeapAnswer {
        HeapAnswer {
            process,
            took_ns: 1,
            bytes: 1,
            contents: None,
            outcome,
        }
    }

    fn due(watch: &mut HeapWatch, at: BootTime, process: ProcessKey, mib: u64) -> Option<bool> {
        let level = Level {
            all: mib * MIB,
            shmem: 0,
        };
        let moment = moment(at, process, Some(State::Suspected), level);
        watch.due(&moment, HOUR).map(|due| due.compare)
    }

    fn moment(at: BootTime, process: ProcessKey, wanted: Option<State>, level: Level) -> Moment {
        Moment {
            at,
            process,
            wanted,
            level,
            age_ns: at.0,
            left_ns: None,
        }
    }

    fn diagnosis(culprit: bool, held: i64) -> Diagnosis {
        Diagnosis {
            compared: Compared::Times(60.0),
            growers: vec![Grower {
                what: "Session".into(),
                place: None,
                count: (1, 2),
                bytes: 1,
                held_by: vec!["open in /app/a.js".into()],
                culprit,
                retained: None,
                share: None,
            }],
            grown: 1,
            explained: 1.0,
            exact: true,
            readings: 3,
            container: Some(ContainerGrowth {
                level: 20 * MIB,
                held,
                garbage: 0,
            }),
        }
    }

    fn first() -> Outcome {
        Outcome::First {
            held: 1,
            newcomers: None,
        }
    }

    #[test]
    fn at_most_one_reading_an_hour_and_the_second_when_it_has_grown() {
        let process = ProcessKey { pid: 7, start: 1 };
        let mut watch = HeapWatch::default();
        assert_eq!(due(&mut watch, at(0), process, 100), Some(false));
        assert_eq!(due(&mut watch, at(1), process, 100), None, "one at a time");
        assert!(
            watch
                .answered(at(2), &answer(process, first()), None, State::Suspected)
                .is_some()
        );
        assert_eq!(due(&mut watch, at(1800), process, 300), None, "the hour is not over");
        assert_eq!(due(&mut watch, at(3700), process, 105), None, "it has hardly grown");
        assert_eq!(due(&mut watch, at(3800), process, 111), Some(true));
        // A new process of the slot is read from the beginning, and within the same budget.
        let next = ProcessKey { pid: 8, start: 2 };
        assert_eq!(due(&mut watch, at(3900), next, 111), None);
        assert_eq!(due(&mut watch, at(7500), next, 111), Some(false));
        assert!(
            watch
                .answered(at(7501), &answer(process, first()), None, State::Suspected)
                .is_none(),
            "a late answer of the dead"
        );
    }

    #[test]
    fn what_was_postponed_is_tried_again_soon_and_what_was_refused_is_not() {
        let process = ProcessKey { pid: 7, start: 1 };
        let mut watch = HeapWatch::default();
        assert_eq!(due(&mut watch, at(0), process, 1), Some(false));
        watch.answered(
            at(1),
            &answer(process, Outcome::Postponed("short".into())),
            None,
            State::Suspected,
        );
        assert_eq!(due(&mut watch, at(30), process, 1), None);
        assert_eq!(due(&mut watch, at(70), process, 1), Some(false));
        watch.answered(
            at(71),
            &answer(process, Outcome::Refused("no symbols".into())),
            None,
            State::Suspected,
        );
        assert_eq!(due(&mut watch, at(9000), process, 900), None);
    }

    #[test]
    fn a_tmpfs_that_fills_is_in_no_heap() {
        let process = ProcessKey { pid: 7, start: 1 };
        let mut watch = HeapWatch::default();
        let level = |all, shmem| Level {
            all: all * MIB,
            shmem: shmem * MIB,
        };
        let mut due = |at, wanted, level| watch.due(&moment(at, process, wanted, level), HOUR);
        assert_eq!(due(at(0), None, level(50, 1)), None);
        assert_eq!(due(at(10), Some(State::Likely), level(90, 40)), None);
        let due = due(at(20), Some(State::Likely), level(200, 41));
        assert!(due.is_some(), "now it is the process");
    }

    #[test]
    fn the_same_is_said_once_and_the_next_reading_waits_for_another_state() {
        let process = ProcessKey { pid: 7, start: 1 };
        let mut watch = HeapWatch::default();
        let said = |watch: &mut HeapWatch, at, diagnosis| {
            let outcome = Outcome::Compared(Box::new(diagnosis));
            watch.answered(at, &answer(process, outcome), None, State::Suspected)
        };
        assert_eq!(due(&mut watch, at(0), process, 100), Some(false));
        watch.answered(at(1), &answer(process, first()), None, State::Suspected);
        assert_eq!(due(&mut watch, at(3601), process, 120), Some(true));
        assert_eq!(said(&mut watch, at(3602), diagnosis(false, 0)), Some(News::New));
        assert_eq!(
            due(&mut watch, at(7300), process, 125),
            None,
            "compared with the last reading, not with the first"
        );
        assert_eq!(due(&mut watch, at(7400), process, 140), Some(true));
        assert_eq!(said(&mut watch, at(7401), diagnosis(false, 1)), Some(News::Same));
        assert_eq!(due(&mut watch, at(11_100), process, 160), Some(true));
        assert_eq!(said(&mut watch, at(11_101), diagnosis(true, 18 << 20)), Some(News::New));
        assert_eq!(due(&mut watch, at(15_000), process, 200), None, "it is known");
        let level = Level {
            all: 200 * MIB,
            shmem: 0,
        };
        let likely = moment(at(15_000), process, Some(State::Likely), level);
        assert!(watch.due(&likely, HOUR).is_some());
    }

    /// A reading asked for at this age with this much time left, and answered.
    fn read(watch: &mut HeapWatch, age: u64, left: u64, mib: u64, outcome: Outcome) -> bool {
        let process = ProcessKey { pid: 7, start: 1 };
        let level = Level {
            all: mib * MIB,
            shmem: 0,
        };
        let moment = Moment {
            left_ns: Some(left * SECOND),
            ..moment(at(age), process, Some(State::Likely), level)
        };
        let asked = watch.due(&moment, HOUR).is_some();
        if asked {
            watch.answered(at(age), &answer(process, outcome), None, State::Likely);
        }
        asked
    }

    #[test]
    fn a_run_whose_end_is_foretold_is_read_sooner_and_once_more_shortly_before() {
        let compared = |readings| {
            Outcome::Compared(Box::new(Diagnosis {
                readings,
                ..diagnosis(true, 18 << 20)
            }))
        };
        let mut watch = HeapWatch::default();
        // Foretold to end after two hours.
        assert!(read(&mut watch, 3600, 3600, 100, first()));
        assert!(
            !read(&mut watch, 4000, 3200, 120, compared(2)),
            "a sixth of what is left has not passed"
        );
        assert!(read(&mut watch, 4300, 2900, 120, compared(2)));
        assert!(!read(&mut watch, 4700, 2500, 125, compared(3)), "it has hardly grown");
        assert!(read(&mut watch, 5000, 2200, 140, compared(3)));
        assert!(
            !read(&mut watch, 6000, 1200, 160, compared(4)),
            "it rose at three readings"
        );
        assert!(read(&mut watch, 6600, 600, 180, compared(4)), "the last tenth");
        assert!(!read(&mut watch, 7100, 100, 190, compared(5)), "once");
    }

    #[test]
    fn what_was_postponed_before_the_end_is_tried_again() {
        let mut watch = HeapWatch::default();
        assert!(read(&mut watch, 3600, 3600, 100, first()));
        let postponed = || Outcome::Postponed("short".into());
        assert!(read(&mut watch, 6600, 600, 180, postponed()));
        assert!(!read(&mut watch, 6630, 570, 181, postponed()));
        assert!(read(&mut watch, 6670, 530, 182, postponed()));
    }

    #[test]
    fn a_heap_that_holds_a_fiftieth_of_the_growth_explains_nothing() {
        assert!(!diagnosis(true, 409 << 10).explains());
        assert!(diagnosis(true, 12 << 20).explains());
        assert!(!diagnosis(true, -1).explains());
    }
}
