//! Kills that come again: reads the ended runs of a slot, produces `recurring_oom`, whether or not any gate held.
//!
//! A container that is killed at its limit again and again is a fact of its own. What grew it is a question: the shape
//! that its runs have in common says whether a leak, a limit that is too low, or either explains it.

use serde::{Deserialize, Serialize};

use super::{
    SlotDetector, State,
    ceiling::misfit,
    record::{Record, within},
    stats::median,
};
use crate::{
    exit::Cause,
    finding::{CeilingKind, Explanation, GrowthPattern, RecurringOom},
    time::BootTime,
};

/// Kills from which they are said to recur.
const FEWEST: u32 = 3;
/// Hours after which a kill is not counted together with the one before.
const APART_HOURS: f64 = 168.0;
/// Share of a run's growth below which a step is noise.
const STEP: f64 = 0.08;
/// Share of the growth that few steps hold where it comes in bursts, and how many are few.
const MOST: f64 = 0.75;
const FEW: usize = 5;
/// Most that a climb in bursts gives back, as a share of its growth.
const GIVEN_BACK: f64 = 0.2;
/// Share of the ceiling at which a level that hardly grows is close to it.
const CLOSE: f64 = 0.7;

/// Kills in a row, as far as they have been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kills {
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
    pub(super) const NONE: Self = Self {
        count: 0,
        first: BootTime(0),
        last: BootTime(0),
        said: 0,
        news: false,
    };
}

impl SlotDetector {
    /// Counts the end of a run that was just put on record.
    pub(super) fn count_kill(&mut self) {
        let Some(record) = self.records.last() else { return };
        if !matches!(record.cause, Cause::KernelOom | Cause::UserspaceOom | Cause::V8HeapOom) {
            return;
        }
        let at = record.ended;
        let kills = &mut self.kills;
        if kills.count > 0 && at.since(kills.last) > self.config.hours(APART_HOURS) {
            *kills = Kills::default();
        }
        if kills.count == 0 {
            kills.first = at;
        }
        kills.count = kills.count.saturating_add(1);
        kills.last = at;
        // Each time twice as many as before are news: a service killed every minute is told of a few times a day.
        kills.news |= kills.count >= FEWEST.max(kills.said.saturating_mul(2));
    }

    /// What is to be said of kills that recur; `None` where nothing is new. Where the leak is confirmed, that says it all.
    pub fn recurring(&mut self) -> Option<RecurringOom> {
        if !std::mem::take(&mut self.kills.news) || self.state == State::Confirmed {
            return None;
        }
        self.kills.said = self.kills.count;
        let killed: Vec<&Record> = self
            .records
            .iter()
            .filter(|record| record.generation == self.generation && record.cause.at_ceiling())
            .collect();
        let last = killed.last()?;
        let range = |of: &dyn Fn(&Record) -> u64| {
            let all = killed.iter().map(|record| of(record)).filter(|bytes| *bytes > 0);
            (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
        };
        let (pattern, explanation) = explain(&killed);
        let mut lives: Vec<f64> = killed.iter().map(|record| record.lifetime_ns() as f64 / 1e9).collect();
        Some(RecurringOom {
            kills: self.kills.count,
            within_s: self.kills.last.since(self.kills.first) as f64 / 1e9,
            lifetime_s: super::gates::round(median(&mut lives)),
            from: range(&|record| u64::from(record.base) * super::ring::UNIT),
            to: range(&Record::peak_bytes),
            ceiling: last.ceiling,
            pattern,
            explanation,
            heap: self.heap,
            advice: self.advice(explanation, last),
            runs: killed
                .iter()
                .map(|record| record.summary(self.version.as_ref()))
                .collect(),
        })
    }

    /// What to set, where the two limits contradict each other.
    fn advice(&self, explanation: Explanation, last: &Record) -> Option<String> {
        let limit = last.ceiling.filter(|ceiling| ceiling.kind != CeilingKind::V8Heap)?;
        if explanation != Explanation::Misfit {
            return None;
        }
        misfit(u64::from(last.heap_limit) * super::ring::UNIT, limit.bytes).map(|misfit| misfit.advice)
    }

    /// Earlier runs that climbed in bursts to the ceiling as the last one did: as alike as few bursts allow.
    pub(super) fn burst_alike(&self, last: &Record) -> Vec<Record> {
        if !climbed_in_bursts(last) {
            return Vec::new();
        }
        let alike = |record: &&Record| {
            record.generation == self.generation
                && record.at_ceiling()
                && climbed_in_bursts(record)
                && within(f64::from(record.peak), f64::from(last.peak), 1.3)
                && within(f64::from(record.base), f64::from(last.base), 1.5)
                && within(record.lifetime_ns() as f64, last.lifetime_ns() as f64, 8.0)
        };
        self.records.iter().filter(alike).cloned().collect()
    }
}

/// What most of the runs looked like, and what may explain that.
fn explain(killed: &[&Record]) -> (GrowthPattern, Explanation) {
    let most =
        |wanted: &dyn Fn(&Record) -> bool| 2 * killed.iter().filter(|record| wanted(record)).count() > killed.len();
    if most(&|record| record.garbage) {
        return (GrowthPattern::Garbage, Explanation::Misfit);
    }
    if most(&|record| pattern(record) == GrowthPattern::Spike) {
        return (GrowthPattern::Spike, Explanation::Undersized);
    }
    if most(&|record| pattern(record) == GrowthPattern::Flat) {
        return (GrowthPattern::Flat, Explanation::Undersized);
    }
    if most(&|record| pattern(record) == GrowthPattern::Bursts) {
        return (GrowthPattern::Bursts, Explanation::Either);
    }
    if most(&|record| pattern(record) == GrowthPattern::Steady) {
        return (GrowthPattern::Steady, Explanation::Either);
    }
    (GrowthPattern::Mixed, Explanation::Either)
}

/// What one run's growth looked like.
fn pattern(record: &Record) -> GrowthPattern {
    let Some(climb) = &record.climb else {
        return GrowthPattern::Mixed;
    };
    let ceiling = record.ceiling.map_or(f64::from(record.peak), |ceiling| {
        ceiling.bytes as f64 / super::ring::UNIT as f64
    });
    let growth = f64::from(climb.growth);
    let rest = f64::from(record.peak) - f64::from(record.base) - growth.max(0.0);
    if growth < 0.1 * ceiling {
        return if f64::from(record.base) >= CLOSE * ceiling {
            GrowthPattern::Flat
        } else {
            GrowthPattern::Spike
        };
    }
    if f64::from(climb.spike) >= 0.6 || rest > growth {
        return GrowthPattern::Spike;
    }
    if record.rose() && few_steps(climb.profile.as_slice()) > FEW {
        return GrowthPattern::Steady;
    }
    if climbed_in_bursts(record) {
        return GrowthPattern::Bursts;
    }
    GrowthPattern::Mixed
}

/// It rose in a few steps, kept what it had, and was not killed by a single one.
fn climbed_in_bursts(record: &Record) -> bool {
    let Some(climb) = record.climb.as_ref().filter(|_| !record.garbage) else {
        return false;
    };
    let ceiling = record.ceiling.map_or(f64::from(record.peak), |ceiling| {
        ceiling.bytes as f64 / super::ring::UNIT as f64
    });
    let heights: Vec<f64> = climb.profile.iter().map(|height| f64::from(*height)).collect();
    let (Some(first), Some(last)) = (heights.first(), heights.last()) else {
        return false;
    };
    let growth = last - first;
    if growth <= 0.0 || f64::from(climb.growth) < 0.3 * ceiling || climb.by_load >= 0.5 {
        return false;
    }
    let (mut highest, mut given_back) = (*first, 0.0f64);
    for height in &heights {
        highest = highest.max(*height);
        given_back = given_back.max(highest - height);
    }
    let steps = heights.windows(2).map(|pair| pair[1] - pair[0]);
    let bursts = steps.clone().filter(|step| *step >= STEP * growth).count();
    let largest = steps.fold(0.0f64, f64::max);
    given_back <= GIVEN_BACK * growth && bursts >= 2 && largest <= 0.6 * growth
}

/// How few steps of a profile hold most of its growth.
fn few_steps(profile: &[u16]) -> usize {
    let mut steps: Vec<f64> = profile
        .windows(2)
        .map(|pair| f64::from(pair[1]) - f64::from(pair[0]))
        .filter(|step| *step > 0.0)
        .collect();
    steps.sort_unstable_by(|a, b| b.total_cmp(a));
    let wanted = MOST * steps.iter().sum::<f64>();
    let mut held = 0.0;
    steps
        .iter()
        .position(|step| {
            held += step;
            held >= wanted
        })
        .map_or(0, |at| at + 1)
}
