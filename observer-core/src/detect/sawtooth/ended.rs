//! The ended runs of a slot: reads their records, produces what they say of the run in progress.

use super::record::Record;
use crate::{
    detect::{
        config::DetectConfig,
        history::point::Ceilings,
        statistics::{median, within},
    },
    finding::{Cause, CeilingKind},
};

/// The records of a slot, oldest first, and which version runs now.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Ended<'a> {
    pub records: &'a [Record],
    /// The version's number, as records count it.
    pub generation: u32,
}

impl<'a> Ended<'a> {
    /// Runs of this version.
    pub(in crate::detect) fn of_version(self) -> impl DoubleEndedIterator<Item = &'a Record> {
        self.records
            .iter()
            .filter(move |record| record.generation == self.generation)
    }

    /// Runs of this version that rose to a ceiling and died there.
    pub(in crate::detect) fn deaths(self) -> impl Iterator<Item = &'a Record> {
        self.of_version()
            .filter(|record| record.at_ceiling() && record.leaked())
    }

    /// Whether there is one.
    pub(in crate::detect) fn died(self) -> bool {
        self.deaths().next().is_some()
    }

    /// Longest of these runs, nanoseconds.
    pub(in crate::detect) fn longest_life(self) -> Option<u64> {
        self.deaths().map(Record::lifetime_ns).max()
    }

    /// Seconds that each of them lived.
    pub(in crate::detect) fn lifetimes(self) -> Vec<f64> {
        self.deaths().map(|record| record.lifetime_ns() as f64 / 1e9).collect()
    }

    /// The level at which earlier runs of this version died, bytes: the median peak of those that rose to it.
    ///
    /// A run killed at a cgroup limit other than today's teaches nothing of today's.
    pub(in crate::detect) fn learned_ceiling(self, now: &Ceilings) -> Option<u64> {
        let mut peaks: Vec<f64> = self
            .of_version()
            .filter(|record| record.at_ceiling() && record.rose())
            .filter(|record| match (record.ceiling, now.cgroup) {
                (Some(then), Some(now)) if then.kind != CeilingKind::V8Heap && record.cause != Cause::V8HeapOom => {
                    within(then.bytes as f64, now.bytes as f64, 1.02) || then.kind == CeilingKind::Learned
                }
                _ => true,
            })
            .map(|record| record.peak_bytes() as f64)
            .collect();
        (!peaks.is_empty()).then(|| median(&mut peaks) as u64)
    }

    /// Highest level of runs, of any version, that were bounded: they lived with it and did not rise to a ceiling, bytes.
    pub(in crate::detect) fn bounded(self, config: &DetectConfig) -> f64 {
        self.records
            .iter()
            .filter(|record| !record.at_ceiling() && record.lifetime_ns() >= config.minutes(30.0))
            .filter(|record| !record.rose() || self.bounded_alike(record))
            .map(|record| record.peak_bytes() as f64)
            .fold(0.0, f64::max)
    }

    /// Another run ended at the same level, and not at a ceiling: a level that is reached each time is no news.
    fn bounded_alike(self, record: &Record) -> bool {
        self.records.iter().any(|other| {
            other.started != record.started
                && !other.at_ceiling()
                && within(f64::from(other.peak), f64::from(record.peak), 1.1)
        })
    }

    /// Nanoseconds that a run must live which follows one that ended by itself: twice as long.
    pub(in crate::detect) fn work_of_the_last(self) -> Option<u64> {
        let last = self.records.last().filter(|last| last.cause == Cause::Completed)?;
        Some(last.lifetime_ns().saturating_mul(2))
    }
}
