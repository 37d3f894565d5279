//! Judging ended runs: reads the end of a run, or a new version, and produces `confirmed` and `resolved`.

use super::{
    Comparison, RunEnd, Side, SlotDetector, State, Verdict,
    gates::Outcome,
    judge::run_base,
    record::{Record, within},
    slot::Accusation,
    stats::median,
};
use crate::{exit::Cause, identity::Version};

/// Runs alike that died at a ceiling.
const DEATHS: usize = 2;
/// Runs alike that were restarted on schedule before they died.
const MASKED: usize = 3;
/// Runs that climbed in a few bursts and died at a ceiling: less alike, so more of them.
const BURSTS: usize = 3;

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
            record.peak = record.peak.min(super::ring::to_unit(limit).max(record.base));
        }
        record.garbage = self.ended_with_garbage(&run, end.cause, record.peak_bytes());
        self.rolled = end.cause == Cause::Rollout;
        self.keep(record);
        self.count_kill();
        if self.config.job {
            return None;
        }
        self.confirm(run.number, end)
    }

    /// `confirmed` where the run that just ended and earlier ones of its version rose alike.
    fn confirm(&mut self, number: u64, end: &RunEnd) -> Option<Verdict> {
        if self.state == State::Confirmed {
            return None;
        }
        let bursts = self.records.last().map_or_else(Vec::new, |last| self.burst_alike(last));
        self.confirm_alike(number, end).or_else(|| {
            let because = "runs climbed in bursts, gave nothing back and ended at a ceiling";
            (bursts.len() >= BURSTS).then(|| self.enter_confirmed(number, end, &bursts, BURSTS, because))
        })
    }

    fn confirm_alike(&mut self, number: u64, end: &RunEnd) -> Option<Verdict> {
        let last = self.records.last().filter(|record| record.leaked())?;
        if last.lifetime_ns() < self.config.minutes(3.0) {
            return None;
        }
        let alike = |record: &&Record| record.generation == self.generation && record.leaked() && record.alike(last);
        let all = |wanted: &dyn Fn(&Record) -> bool| -> Vec<Record> {
            let found = self.records.iter().filter(|record| wanted(record)).filter(alike);
            found.cloned().collect()
        };
        let dead = all(&|record| record.at_ceiling());
        let crashed = all(&|record| record.cause == Cause::Crash && same_level(record, last));
        let masked = all(&|record| by_clock(record, last));
        let (runs, least, because) = if last.at_ceiling() && dead.len() >= DEATHS {
            (dead, DEATHS, "runs climbed alike and ended at a ceiling")
        } else if last.cause == Cause::Crash
            && crashed.len() >= DEATHS
            && last.lifetime_ns() >= self.config.minutes(30.0)
        {
            (crashed, DEATHS, "runs climbed alike and crashed at one level")
        } else if masked.len() >= MASKED && last.lifetime_ns() >= self.config.hours(4.0) && !last.cause.at_ceiling() {
            (
                masked,
                MASKED,
                "runs climbed alike and were restarted before the ceiling",
            )
        } else {
            return None;
        };
        Some(self.enter_confirmed(number, end, &runs, least, because))
    }

    fn enter_confirmed(&mut self, number: u64, end: &RunEnd, runs: &[Record], least: usize, because: &str) -> Verdict {
        let previous = self.state;
        self.state = State::Confirmed;
        self.entered = (number, last_lifetime(runs));
        if self.first_version.is_none() {
            self.first_version.clone_from(&self.version);
        }
        let mut slopes: Vec<f64> = runs.iter().map(|run| f64::from(run.slope)).collect();
        let (low, high) = slopes.iter().fold((f64::INFINITY, 0.0f64), |(low, high), slope| {
            (low.min(*slope), high.max(*slope))
        });
        let gates = [Outcome {
            name: "alike",
            held: true,
            value: runs.len() as f64,
            threshold: least as f64,
        }];
        Verdict {
            at: end.at,
            state: State::Confirmed,
            previous,
            previous_at: None,
            slope_bytes_per_hour: super::gates::round(median(&mut slopes)),
            slope_interval: (super::gates::round(low), super::gates::round(high)),
            span_ns: runs.iter().map(Record::lifetime_ns).sum(),
            floor: runs.last().map_or(0, Record::peak_bytes),
            ceiling: runs.last().and_then(|run| run.ceiling),
            time_to_ceiling: self.next_death(runs),
            first_version: self.first_version.clone(),
            attribution: None,
            comparison: None,
            blame: None,
            heap: self.heap,
            diagnosis: None,
            gates: gates.iter().map(Outcome::gate).collect(),
            because: format!("{} {because}", runs.len()),
            runs: runs.iter().map(|run| run.summary(self.version.as_ref())).collect(),
        }
    }

    /// When the next run will die, counted from its start: as the earlier ones did.
    fn next_death(&self, runs: &[Record]) -> Option<super::Forecast> {
        let mut lives: Vec<f64> = runs.iter().map(|run| run.lifetime_ns() as f64 / 1e9).collect();
        if lives.is_empty() || runs.iter().any(|run| !run.at_ceiling()) {
            return None;
        }
        let middle = median(&mut lives);
        let (low, high) = lives.iter().fold((f64::INFINITY, 0.0f64), |(low, high), life| {
            (low.min(*life), high.max(*life))
        });
        Some(super::Forecast {
            p10: super::gates::round(low.min(middle * 0.85)),
            p50: super::gates::round(middle),
            p90: super::gates::round(high.max(middle * 1.15)),
        })
    }

    /// A version begins: an accusation of the one before is kept beside it until it is resolved.
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
            let deaths: Vec<&Record> = self.deaths().collect();
            let longest = deaths.iter().map(|record| record.lifetime_ns()).max();
            let foretold = self.growth.map_or(0, |growth| {
                growth
                    .age_ns
                    .saturating_add((growth.time_to_ceiling_s.min(1e7) * 1e9) as u64)
            });
            let own = || {
                self.records
                    .iter()
                    .filter(|record| record.generation == self.generation)
            };
            self.accused = Some(Accusation {
                version: before,
                state: self.state,
                baseline: own().next_back().map_or(0, |record| u64::from(record.base) * 1024),
                peak: own().map(Record::peak_bytes).max().unwrap_or(0),
                slope: self.growth.map_or_else(
                    || own().next_back().map_or(0.0, |record| f64::from(record.slope)),
                    |growth| growth.slope,
                ),
                lifetime_ns: longest.unwrap_or(foretold),
            });
        }
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Quiet;
        self.growth = None;
        self.heap = None;
        self.kills = super::recurring::Kills::default();
        self.refuted = 0.0;
    }

    /// `resolved` where this version has lived, flat, for long enough.
    pub(super) fn resolve(&mut self, age: u64) -> Option<Verdict> {
        let run = self.run.as_ref()?;
        let accused = self.accused.as_ref()?;
        if !matches!(self.state, State::Quiet | State::Retracted) {
            return None;
        }
        let day = self.config.hours(24.0).min(accused.lifetime_ns.saturating_mul(6));
        if age < accused.lifetime_ns.saturating_mul(2).max(day) {
            return None;
        }
        let buckets: Vec<_> = run.span.buckets().collect();
        let hours = run.span.width_ns() as f64 / 3.6e12;
        let settled = buckets.get(buckets.len() / 4..)?;
        let x: Vec<f64> = settled.iter().map(|(number, _)| *number as f64 * hours).collect();
        let y: Vec<f64> = settled.iter().map(|(_, wide)| wide.low.floor()).collect();
        let slope = super::stats::line(&x, &y)?.slope;
        // Flat: at a fifth of the old slope or less.
        if slope > 0.2 * accused.slope {
            return None;
        }
        let after = Side {
            version: self.version.clone(),
            baseline: run_base(run) as u64,
            peak: run.span.buckets().map(|(_, wide)| u64::from(wide.max) * 1024).max()?,
            slope_bytes_per_hour: super::gates::round(slope),
            lifetime_s: super::gates::round(age as f64 / 1e9),
        };
        let before = Side {
            version: accused.version.clone(),
            baseline: accused.baseline,
            peak: accused.peak,
            slope_bytes_per_hour: super::gates::round(accused.slope),
            lifetime_s: super::gates::round(accused.lifetime_ns as f64 / 1e9),
        };
        let first_version = self.first_version.take().or_else(|| accused.version.clone());
        let verdict = self.plain(
            State::Resolved,
            accused.state,
            age,
            "this version lives on where the one before died",
        );
        let verdict = Verdict {
            slope_bytes_per_hour: after.slope_bytes_per_hour,
            first_version,
            comparison: Some(Comparison { before, after }),
            ..verdict
        };
        self.accused = None;
        self.state = State::Resolved;
        Some(verdict)
    }
}

/// Restarted by a clock, before the ceiling; or ended at one level, whatever it was called.
fn by_clock(record: &Record, last: &Record) -> bool {
    match record.cause {
        Cause::Terminated | Cause::Liveness | Cause::Unknown => scheduled(record, last),
        Cause::Crash | Cause::ErrorExit => scheduled(record, last) && same_level(record, last),
        _ => false,
    }
}

/// They reached the same level, as processes do whose V8 has no heap left: its abort is a signal like any other.
fn same_level(record: &Record, last: &Record) -> bool {
    within(f64::from(record.peak), f64::from(last.peak), 1.06)
}

/// Ended after about the same time: by a clock, not by a ceiling.
fn scheduled(record: &Record, last: &Record) -> bool {
    within(record.lifetime_ns() as f64, last.lifetime_ns() as f64, 1.25)
        && record.climb.as_ref().is_some_and(|climb| climb.second_half >= 0.33)
}

fn last_lifetime(runs: &[Record]) -> u64 {
    runs.last().map_or(0, Record::lifetime_ns)
}
