//! Heaps: what a reading of a process's heap told, and when the next is due. Plain data; the reading itself is done
//! outside the core (crate `observer-heap`) and arrives as an Input, so that a replay needs no process.

use serde::{Deserialize, Serialize};

use crate::{
    identity::Version,
    process::ProcessKey,
    time::{BootTime, SECOND},
};

/// The annotation by which a pod opts in: `"true"`.
pub const ANNOTATION: &str = "observer.dev/read-heap";
/// A reading that was asked for and never answered is given up after this.
const PATIENCE: u64 = 600 * SECOND;
/// A reading that could not be done at that moment is tried again after this.
const AGAIN: u64 = 60 * SECOND;
/// The least growth between two readings that are compared, bytes, and as a share of the level at the first.
const GROWN: u64 = 8 << 20;
const GROWN_SHARE: u64 = 10;

/// Which heaps are read, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapSettings {
    /// Names of workloads, as `observer ps` shows them; `*` is all. Pods opt in by [`ANNOTATION`] as well.
    pub workloads: Vec<String>,
    /// The least time between two readings of one container, seconds.
    pub interval_s: f64,
}

impl Default for HeapSettings {
    fn default() -> Self {
        Self {
            workloads: Vec::new(),
            interval_s: 3_600.0,
        }
    }
}

impl HeapSettings {
    /// Whether the operator named this service.
    pub(crate) fn names(&self, service: &str) -> bool {
        self.workloads.iter().any(|name| name == "*" || name == service)
    }
}

/// A wish to have a heap read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadHeap {
    /// Whose.
    pub process: ProcessKey,
    /// What is deployed, as the key under which readings of several versions are compared.
    pub workload: String,
    /// Which version runs.
    pub version: Option<Version>,
    /// Compare with this process's first reading; otherwise this is the first.
    pub compare: bool,
}

/// The answer to [`ReadHeap`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapAnswer {
    /// Whose heap.
    pub process: ProcessKey,
    /// How long the reading took, nanoseconds.
    pub took_ns: u64,
    /// Bytes of the process's memory that were read.
    pub bytes: u64,
    /// What was found held and dead, where the two could be told apart.
    #[serde(default)]
    pub contents: Option<Contents>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What one reading found in a heap, all isolates together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Bytes of objects that something holds, ArrayBuffers' memory included.
    pub held: u64,
    /// Bytes of old objects that nothing holds: garbage that waits for a major collection.
    pub dead: u64,
}

/// What came of a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The first reading. With what this version holds that an earlier one did not, where one was read.
    First {
        /// Bytes held.
        held: u64,
        /// Compared with the earlier version's reading.
        newcomers: Option<Box<Diagnosis>>,
    },
    /// Compared with the first.
    Compared(Box<Diagnosis>),
    /// The host is short of memory, too many readings wait, or a collection is changing the heap: later.
    Postponed(String),
    /// It was refused, with the reason.
    Refused(String),
}

/// What grew between two readings of a heap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What was compared.
    pub compared: Compared,
    /// What grew, the likeliest culprits first; names from code and numbers only.
    pub growers: Vec<Grower>,
    /// Bytes of all that grew.
    pub grown: u64,
    /// Share of it under names of the application and its dependencies, 0 to 1.
    pub explained: f64,
    /// Dead objects were told apart; otherwise the numbers are upper bounds.
    pub exact: bool,
}

/// What two readings differ in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// In time: seconds apart, of one process.
    Times(f64),
    /// In version: from this one to the one that runs.
    Versions(Option<Version>, Option<Version>),
}

/// Things of one name, and how they became more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grower {
    /// `onUserMessage()`, `Session`, `string`.
    pub what: String,
    /// `/app/server.js:42`, where known.
    pub place: Option<String>,
    /// How many there were, and are.
    pub count: (u64, u64),
    /// Bytes more than before.
    pub bytes: u64,
    /// The way in which most of them are held, from a variable or a global down; empty where not looked for.
    pub held_by: Vec<String>,
    /// It grew so that it may well be what leaks.
    pub culprit: bool,
}

impl Diagnosis {
    /// The likeliest culprit, where there is one.
    pub fn culprit(&self) -> Option<&Grower> {
        self.growers.iter().find(|grower| grower.culprit)
    }
}

impl Grower {
    /// `onUserMessage() (/app/server.js:42): 8432 -> 16891, held by bus in /app/server.js -> EventEmitter._events`
    pub fn sentence(&self) -> String {
        let place = self
            .place
            .as_ref()
            .map_or_else(String::new, |place| format!(" ({place})"));
        let held = if self.held_by.is_empty() {
            String::new()
        } else {
            format!(", held by {}", self.held_by.join(" -> "))
        };
        format!("{}{place}: {} -> {}{held}", self.what, self.count.0, self.count.1)
    }
}

/// What is known of the readings of a slot's current process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeapWatch {
    process: Option<ProcessKey>,
    asked: Option<BootTime>,
    not_before: BootTime,
    /// Level at the first reading, bytes.
    base: Option<u64>,
    compare: bool,
    done: bool,
    /// The last comparison in time, and of which version.
    pub(crate) diagnosis: Option<(Option<Version>, Diagnosis)>,
}

impl HeapWatch {
    /// Whether a reading is due now, and whether it is to be compared with the first.
    pub(crate) fn due(&mut self, at: BootTime, process: ProcessKey, level: u64, interval_ns: u64) -> Option<bool> {
        if self.process != Some(process) {
            *self = Self {
                process: Some(process),
                not_before: self.not_before,
                diagnosis: self.diagnosis.take(),
                ..Self::default()
            };
        }
        if self.asked.is_some_and(|asked| at.since(asked) > PATIENCE) {
            self.asked = None;
        }
        let compare = match self.base {
            None => false,
            Some(base) if level >= base.saturating_add(GROWN.max(base / GROWN_SHARE)) => true,
            Some(_) => return None,
        };
        if self.done || self.asked.is_some() || at < self.not_before {
            return None;
        }
        self.asked = Some(at);
        self.compare = compare;
        // Counted from the wish: an answer that never comes costs the process the same.
        self.not_before = at.plus(interval_ns);
        if !compare {
            self.base = Some(level);
        }
        Some(compare)
    }

    /// Takes an answer in; whether it was waited for.
    pub(crate) fn answered(&mut self, at: BootTime, answer: &HeapAnswer, version: Option<&Version>) -> bool {
        if self.process != Some(answer.process) || self.asked.take().is_none() {
            return false;
        }
        match &answer.outcome {
            Outcome::First { .. } => {}
            Outcome::Compared(diagnosis) => {
                self.done = diagnosis.culprit().is_some();
                self.diagnosis = Some((version.cloned(), (**diagnosis).clone()));
            }
            Outcome::Postponed(_) => {
                self.not_before = at.plus(AGAIN);
                if !self.compare {
                    self.base = None;
                }
            }
            // What was refused once is refused again: a build without symbols, a version unknown.
            Outcome::Refused(_) => self.done = true,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(watch.due(at(0), process, 100 * MIB, HOUR), Some(false));
        assert_eq!(watch.due(at(1), process, 100 * MIB, HOUR), None, "one at a time");
        assert!(watch.answered(at(2), &answer(process, first()), None));
        assert_eq!(
            watch.due(at(1800), process, 300 * MIB, HOUR),
            None,
            "the hour is not over"
        );
        assert_eq!(
            watch.due(at(3700), process, 105 * MIB, HOUR),
            None,
            "it has hardly grown"
        );
        assert_eq!(watch.due(at(3800), process, 111 * MIB, HOUR), Some(true));
        // A new process of the slot is read from the beginning, and within the same budget.
        let next = ProcessKey { pid: 8, start: 2 };
        assert_eq!(watch.due(at(3900), next, 111 * MIB, HOUR), None);
        assert_eq!(watch.due(at(7500), next, 111 * MIB, HOUR), Some(false));
        assert!(
            !watch.answered(at(7501), &answer(process, first()), None),
            "a late answer of the dead"
        );
    }

    #[test]
    fn what_was_postponed_is_tried_again_soon_and_what_was_refused_is_not() {
        let process = ProcessKey { pid: 7, start: 1 };
        let mut watch = HeapWatch::default();
        assert_eq!(watch.due(at(0), process, MIB, HOUR), Some(false));
        watch.answered(at(1), &answer(process, Outcome::Postponed("short".into())), None);
        assert_eq!(watch.due(at(30), process, MIB, HOUR), None);
        assert_eq!(watch.due(at(70), process, MIB, HOUR), Some(false));
        watch.answered(at(71), &answer(process, Outcome::Refused("no symbols".into())), None);
        assert_eq!(watch.due(at(9000), process, 900 * MIB, HOUR), None);
    }
}
