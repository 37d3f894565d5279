//! Runs alike: reads the records of ended runs, produces the runs that confirm a leak: they rose alike, and ended as a leak
//! ends them.

use super::{ended::Ended, pattern::climbed_in_bursts, record::Record};
use crate::{
    detect::{
        config::DetectConfig,
        statistics::{middle, round, within},
        thresholds::{ALIKE_PEAK, BURSTS, DEATHS, MASKED, SAME_LEVEL},
    },
    finding::{Cause, Forecast},
};

/// Runs that confirm a leak.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) struct Confirmation {
    /// The runs, oldest first; one or more.
    pub runs: Vec<Record>,
    /// How many were needed.
    pub needed: usize,
    /// What they have in common, in words.
    pub because: &'static str,
}

/// The runs that confirm a leak together with the one that ended last; `None` where they are too few or not alike.
pub(in crate::detect) fn confirmation(ended: Ended<'_>, config: &DetectConfig) -> Option<Confirmation> {
    rose_alike(ended, config).or_else(|| {
        let runs = burst_alike(ended);
        (runs.len() >= BURSTS).then_some(Confirmation {
            runs,
            needed: BURSTS,
            because: "runs climbed in bursts, gave nothing back and ended at a ceiling",
        })
    })
}

fn rose_alike(ended: Ended<'_>, config: &DetectConfig) -> Option<Confirmation> {
    let last = ended.records.last().filter(|record| record.leaked())?;
    if last.lifetime_ns() < config.minutes(3.0) {
        return None;
    }
    let all = |wanted: &dyn Fn(&Record) -> bool| -> Vec<Record> {
        let alike = ended
            .of_version()
            .filter(|record| record.leaked() && record.alike(last));
        alike.filter(|record| wanted(record)).cloned().collect()
    };
    let dead = all(&|record| record.at_ceiling());
    let crashed = all(&|record| record.cause == Cause::Crash && same_level(record, last));
    let masked = all(&|record| by_clock(record, last));
    let (runs, needed, because) = if last.at_ceiling() && dead.len() >= DEATHS {
        (dead, DEATHS, "runs climbed alike and ended at a ceiling")
    } else if last.cause == Cause::Crash && crashed.len() >= DEATHS && last.lifetime_ns() >= config.minutes(30.0) {
        (crashed, DEATHS, "runs climbed alike and crashed at one level")
    } else if masked.len() >= MASKED && last.lifetime_ns() >= config.hours(4.0) && !last.cause.at_ceiling() {
        (
            masked,
            MASKED,
            "runs climbed alike and were restarted before the ceiling",
        )
    } else {
        return None;
    };
    Some(Confirmation { runs, needed, because })
}

/// Earlier runs that climbed in bursts to the ceiling as the last one did: as alike as few bursts allow.
fn burst_alike(ended: Ended<'_>) -> Vec<Record> {
    let Some(last) = ended.records.last().filter(|last| climbed_in_bursts(last)) else {
        return Vec::new();
    };
    let alike = |record: &&Record| {
        record.at_ceiling()
            && climbed_in_bursts(record)
            && within(f64::from(record.peak), f64::from(last.peak), ALIKE_PEAK)
            && within(f64::from(record.base), f64::from(last.base), 1.5)
            && within(record.lifetime_ns() as f64, last.lifetime_ns() as f64, 8.0)
    };
    ended.of_version().filter(alike).cloned().collect()
}

impl Confirmation {
    /// The slopes of its runs: middle, lowest, highest, bytes per hour.
    pub(in crate::detect) fn slopes(&self) -> (f64, f64, f64) {
        let mut slopes: Vec<f64> = self.runs.iter().map(|run| f64::from(run.slope)).collect();
        let (low, high) = extremes(&slopes);
        (middle(&mut slopes), low, high)
    }

    /// When the next run will die, seconds from its start: as the earlier ones did.
    pub(in crate::detect) fn next_death(&self) -> Option<Forecast> {
        let mut lives: Vec<f64> = self.runs.iter().map(|run| run.lifetime_ns() as f64 / 1e9).collect();
        if lives.is_empty() || self.runs.iter().any(|run| !run.at_ceiling()) {
            return None;
        }
        let middle = middle(&mut lives);
        let (low, high) = extremes(&lives);
        Some(Forecast {
            p10: round(low.min(middle * 0.85)),
            p50: round(middle),
            p90: round(high.max(middle * 1.15)),
        })
    }
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0f64), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

/// Restarted by a clock, before the ceiling; or ended at one level, whatever it was called.
fn by_clock(record: &Record, last: &Record) -> bool {
    match record.cause {
        Cause::Terminated | Cause::Liveness | Cause::Evicted | Cause::Unknown => scheduled(record, last),
        Cause::Crash | Cause::ErrorExit => scheduled(record, last) && same_level(record, last),
        _ => false,
    }
}

/// They reached the same level, as processes do whose V8 has no heap left: its abort is a signal like any other.
fn same_level(record: &Record, last: &Record) -> bool {
    within(f64::from(record.peak), f64::from(last.peak), SAME_LEVEL)
}

/// Ended after about the same time: by a clock, not by a ceiling.
fn scheduled(record: &Record, last: &Record) -> bool {
    within(record.lifetime_ns() as f64, last.lifetime_ns() as f64, 1.25)
        && record.climb.as_ref().is_some_and(|climb| climb.second_half >= 0.33)
}
