//! Marks of the kernel's OOM killer: reads marks of victims that are not known (yet), produces them for the process when
//! it is, and counts what became of every victim.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    kernel::OomVictim,
    process::ProcessKey,
    registry::Mark,
    time::{BootTime, SECOND},
};

/// Marks without a known process kept at most.
const MAX_WAITING: usize = 64;
/// How long one waits for its process: records of one process come by two rings, some milliseconds apart.
const PATIENCE: u64 = 60 * SECOND;

/// What became of the victims that the kernel marked; each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkCounts {
    /// A finding reports the kill.
    #[serde(alias = "told")]
    pub reported: u64,
    /// It ended otherwise: a mark is also set on a process that is already exiting.
    #[serde(alias = "spared")]
    pub not_killed: u64,
    /// It belonged to no watched container, unit or process.
    #[serde(alias = "nobody")]
    pub unwatched: u64,
}

/// Marks that wait for their process, and the counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marks {
    waiting: VecDeque<(BootTime, OomVictim)>,
    counts: MarkCounts,
}

impl Marks {
    /// A mark of a process that is not known.
    pub(crate) fn wait(&mut self, at: BootTime, victim: &OomVictim) {
        if self
            .waiting
            .iter()
            .any(|(_, known)| known.process == victim.process && known.tid == victim.tid)
        {
            return;
        }
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
            self.counts.unwatched += 1;
        }
        self.waiting.push_back((at, victim.clone()));
    }

    /// The mark of a process that has become known.
    pub(crate) fn take(&mut self, key: ProcessKey) -> Option<Mark> {
        let at = self.waiting.iter().position(|(_, victim)| victim.process == key)?;
        self.waiting.remove(at).map(|(at, victim)| Mark::of(at, &victim))
    }

    /// Whether a thread that could not be resolved to a process was marked at a time that `near` accepts.
    pub(crate) fn unresolved(&self, near: impl Fn(BootTime) -> bool) -> bool {
        let threads = self.waiting.iter().filter(|(_, victim)| victim.process.start == 0);
        threads.into_iter().any(|(at, _)| near(*at))
    }

    /// Marks that have waited long enough belong to nothing watched.
    pub(crate) fn expire(&mut self, now: BootTime) {
        while self.waiting.front().is_some_and(|(at, _)| now.since(*at) > PATIENCE) {
            self.waiting.pop_front();
            self.counts.unwatched += 1;
        }
    }

    /// A marked process has died and was not decided upon: it belonged to nothing watched.
    pub(crate) const fn unwatched(&mut self) {
        self.counts.unwatched += 1;
    }

    /// A marked member of a container was decided upon.
    pub(crate) const fn decided(&mut self, killed: bool) {
        if killed {
            self.counts.reported += 1;
        } else {
            self.counts.not_killed += 1;
        }
    }

    pub(crate) const fn counts(&self) -> MarkCounts {
        self.counts
    }

    /// An agent that goes on from an earlier one's state counts from its own start.
    pub(crate) fn count_anew(&mut self) {
        self.counts = MarkCounts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(pid: u32, start: u64) -> OomVictim {
        OomVictim {
            process: ProcessKey { pid, start },
            tid: pid,
            comm: "tail".into(),
            anon: Some(7),
            file: None,
            shmem: None,
            pgtables: None,
            oom_score_adj: None,
        }
    }

    const fn at(second: u64) -> BootTime {
        BootTime(second * SECOND)
    }

    #[test]
    fn a_mark_waits_for_its_process_and_is_taken_once() {
        let mut marks = Marks::default();
        marks.wait(at(1), &victim(7, 500));
        // Chosen with its group, a victim is marked twice.
        marks.wait(at(1), &victim(7, 500));
        assert_eq!(
            marks.take(ProcessKey { pid: 7, start: 501 }),
            None,
            "another of that pid"
        );
        let key = ProcessKey { pid: 7, start: 500 };
        assert_eq!(marks.take(key).and_then(|mark| mark.anon), Some(7));
        assert_eq!(marks.take(key), None);
        marks.expire(at(1_000));
        assert_eq!(marks.counts(), MarkCounts::default());
    }

    #[test]
    fn what_no_process_claims_is_counted_as_unwatched() {
        let mut marks = Marks::default();
        for n in 0..100 {
            marks.wait(at(1), &victim(n, 500));
        }
        assert_eq!(marks.counts().unwatched, 100 - MAX_WAITING as u64);
        marks.expire(at(30));
        assert_eq!(marks.counts().unwatched, 100 - MAX_WAITING as u64);
        marks.expire(at(62));
        assert_eq!(marks.counts().unwatched, 100);
    }

    #[test]
    fn only_a_thread_without_a_process_may_be_anybodys() {
        let mut marks = Marks::default();
        marks.wait(at(1), &victim(7, 500));
        assert!(!marks.unresolved(|_| true));
        marks.wait(at(2), &victim(8, 0));
        assert!(marks.unresolved(|time| time == at(2)) && !marks.unresolved(|time| time == at(1)));
    }
}
