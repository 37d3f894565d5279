//! Ends and beginnings: reads the end of a run, or a new version, produces `confirmed` where runs rose alike.

use super::slot::{SlotDetector, UnresolvedLeak};
use crate::{
    detect::{
        growth::garbage::ended_with_garbage,
        history::{point::RunEnd, ring::to_unit},
        sawtooth::{
            alike::confirmation,
            record::{RECORDS, Record},
            recurring::Kills,
        },
    },
    finding::{Cause, RecurringOom, State, Verdict},
    identity::Version,
};

impl SlotDetector {
    /// A run ends; gives back a verdict where its end changes what is said.
    pub fn end_run(&mut self, end: &RunEnd) -> Option<Verdict> {
        let ceiling = self.ceiling();
        let Some(run) = self.run.take() else {
            self.counts.outside += 1;
            return None;
        };
        let mut record = Record::of(&run, self.generation, end, ceiling);
        // The cgroup's own mark counts page cache too, so it only bounds what was sampled.
        if let Some(limit) = end.peak {
            record.peak = record.peak.min(to_unit(limit).max(record.base));
        }
        record.garbage = ended_with_garbage(self.heap, &run, end.cause, record.peak_bytes());
        self.rolled = end.cause == Cause::Rollout;
        self.kills.count(&record, &self.config);
        self.keep(record);
        if self.config.job || self.state == State::Confirmed {
            return None;
        }
        let confirmed = confirmation(self.ended(), &self.config)?;
        Some(self.enter_confirmed(end.at, &confirmed, &run))
    }

    /// Keeps a record, oldest out first.
    fn keep(&mut self, record: Record) {
        if self.records.len() >= RECORDS {
            self.records.remove(0);
        }
        if self.records.capacity() < RECORDS {
            self.records.reserve_exact(RECORDS - self.records.len());
        }
        self.records.push(record);
    }

    /// What is to be said of kills that recur; `None` where nothing is new. Where the leak is confirmed, that says it all.
    pub fn recurring(&mut self) -> Option<RecurringOom> {
        if !self.kills.take_news() || self.state == State::Confirmed {
            return None;
        }
        let recurring = self.kills.recurring(self.ended(), self.version.as_ref(), self.heap);
        self.kills.reported();
        recurring
    }

    /// A version begins: a leak of the one before is remembered until it is resolved.
    pub(super) fn enter_version(&mut self, version: Option<&Version>) {
        let same = match (&self.version, version) {
            (Some(before), Some(now)) => before == now,
            (None, Some(_)) => self.records.is_empty(),
            _ => !self.rolled || self.records.is_empty(),
        };
        self.rolled = false;
        if version.is_some() {
            let before = if same { None } else { self.version.clone() };
            if !same {
                self.leave_version(before);
            }
            self.version = version.cloned();
        } else if !same {
            self.leave_version(None);
        }
    }

    fn leave_version(&mut self, before: Option<Version>) {
        if matches!(self.state, State::Likely | State::Confirmed) {
            let ended = self.ended();
            let predicted = self.growth.map_or(0, |growth| {
                growth
                    .age_ns
                    .saturating_add((growth.time_to_ceiling_s.min(1e7) * 1e9) as u64)
            });
            let leak = UnresolvedLeak {
                version: before,
                state: self.state,
                baseline: ended
                    .of_version()
                    .next_back()
                    .map_or(0, |record| u64::from(record.base) * 1024),
                peak: ended.of_version().map(Record::peak_bytes).max().unwrap_or(0),
                slope: self.growth.map_or_else(
                    || {
                        ended
                            .of_version()
                            .next_back()
                            .map_or(0.0, |record| f64::from(record.slope))
                    },
                    |growth| growth.slope,
                ),
                lifetime_ns: ended.longest_life().unwrap_or(predicted),
            };
            self.unresolved = Some(leak);
        }
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Quiet;
        self.growth = None;
        self.heap = None;
        self.kills = Kills::default();
        self.refuted = 0.0;
    }
}
