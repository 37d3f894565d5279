//! Kills that come again: reads the ended runs of a slot, produces `recurring_oom`, whether or not any gate held.
//!
//! A container that is killed at its limit again and again is a fact of its own. What grew it is a question: the shape
//! that its runs have in common says whether a leak, a limit that is too low, or either explains it.

use serde::{Deserialize, Serialize};

use super::{ended::Ended, pattern::explain, record::Record};
use crate::{
    detect::{
        config::DetectConfig,
        growth::misfit::misfit,
        history::ring::UNIT,
        statistics::{median, round},
        thresholds::{KILLS, KILLS_APART_HOURS},
    },
    finding::{Cause, CeilingKind, Explanation, HeapEvidence, RecurringOom},
    identity::Version,
    time::BootTime,
    units::bytes,
};

/// Kills in a row, as far as they have been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) struct Kills {
    /// How many, of this version.
    count: u32,
    /// When the first and the last of them came.
    first: BootTime,
    last: BootTime,
    /// How many there were when it was last said.
    said: u32,
    /// There is something new to say.
    news: bool,
}

impl Kills {
    pub(in crate::detect) const NONE: Self = Self {
        count: 0,
        first: BootTime(0),
        last: BootTime(0),
        said: 0,
        news: false,
    };

    /// Counts the end of a run that was just put on record.
    pub(in crate::detect) fn count(&mut self, record: &Record, config: &DetectConfig) {
        if !matches!(record.cause, Cause::KernelOom | Cause::UserspaceOom | Cause::V8HeapOom) {
            return;
        }
        let at = record.ended;
        if self.count > 0 && at.since(self.last) > config.hours(KILLS_APART_HOURS) {
            *self = Self::default();
        }
        if self.count == 0 {
            self.first = at;
        }
        self.count = self.count.saturating_add(1);
        self.last = at;
        // Each doubling is news: a service killed every minute is reported a few times a day.
        self.news |= self.count >= KILLS.max(self.said.saturating_mul(2));
    }

    /// Whether there is something new to say; asked once.
    pub(in crate::detect) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// They are reported, as many as there are.
    pub(in crate::detect) const fn reported(&mut self) {
        self.said = self.count;
    }

    /// What is to be said of kills that recur; `None` where no killed run is on record.
    pub(in crate::detect) fn recurring(
        &self,
        ended: Ended<'_>,
        version: Option<&Version>,
        heap: Option<HeapEvidence>,
    ) -> Option<RecurringOom> {
        let killed: Vec<&Record> = ended.of_version().filter(|record| record.cause.at_ceiling()).collect();
        let last = killed.last()?;
        let range = |of: &dyn Fn(&Record) -> u64| {
            let all = killed.iter().map(|record| of(record)).filter(|bytes| *bytes > 0);
            (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
        };
        let (pattern, explanation) = explain(&killed);
        let mut lives: Vec<f64> = killed.iter().map(|record| record.lifetime_ns() as f64 / 1e9).collect();
        Some(RecurringOom {
            kills: self.count,
            within_s: self.last.since(self.first) as f64 / 1e9,
            lifetime_s: round(median(&mut lives)),
            from: range(&|record| u64::from(record.base) * UNIT),
            to: range(&Record::peak_bytes),
            ceiling: last.ceiling,
            pattern,
            explanation,
            heap,
            advice: advice(explanation, last),
            runs: killed.iter().map(|record| record.summary(version)).collect(),
        })
    }
}

/// What to set, where the two limits contradict each other.
fn advice(explanation: Explanation, last: &Record) -> Option<String> {
    // One that is shared with others is not to be raised for this one.
    let shared_or_v8 = [CeilingKind::V8Heap, CeilingKind::CgroupAncestor, CeilingKind::Host];
    let limit = last.ceiling.filter(|ceiling| !shared_or_v8.contains(&ceiling.kind))?;
    match explanation {
        Explanation::Misfit => misfit(u64::from(last.heap_limit) * UNIT, limit.bytes).map(|misfit| misfit.advice),
        Explanation::Undersized => Some(format!(
            "raise the limit by a quarter, to {}, and look again: how much more it needs was not seen, since each kill cut it off",
            bytes(limit.bytes.saturating_add(limit.bytes / 4))
        )),
        Explanation::Either => None,
    }
}
