//! Retraction: reads a run whose growth no longer holds, produces `retracted` or `resolved` where one is due.

use super::slot::{Growth, SlotDetector};
use crate::{
    detect::{
        growth::troughs,
        history::run::Run,
        statistics::{line, round},
        thresholds::AT_CEILING,
    },
    finding::{Comparison, Side, State, Verdict},
};

impl SlotDetector {
    /// Retracts what was said where the growth has stopped, or the run has outlived what was predicted; or resolves it.
    pub(super) fn reconsider(&mut self, age: u64) -> Option<Verdict> {
        let run = self.run.as_ref()?;
        if run.holds() {
            return None;
        }
        if let Some(resolved) = self.resolve(age) {
            return Some(resolved);
        }
        let run = self.run.as_ref()?;
        let growth = self.growth?;
        let because = match self.state {
            State::Suspected | State::Likely if growth.run == run.number => self.stopped_rising(run, &growth, age)?,
            State::Suspected | State::Likely | State::Confirmed if growth.run != run.number => {
                self.outlived(run, &growth, age)?
            }
            _ => return None,
        };
        Some(self.retract(age, because))
    }

    /// In the run in which growth was last seen: it must have stopped, over a fifth of what it was seen over.
    fn stopped_rising(&self, run: &Run, growth: &Growth, age: u64) -> Option<&'static str> {
        let ended = self.ended();
        // Once a run died of it, a pause is less likely to be the end of it: a night is none.
        let died = ended.died();
        // Close to its ceiling a heap is collected hard and hardly grows any more: it must have stopped for longer.
        let close = run.now.trend as f64 >= AT_CEILING * self.ceiling_bytes();
        let share = match (died, close) {
            (_, true) => 0.8,
            (true, false) => 0.5,
            (false, false) => 0.2,
        };
        let span = (growth.hours * share * 3.6e12) as u64;
        let pause = ended.longest_life().unwrap_or(0).min(self.config.hours(24.0));
        // Two whole teeth, so that the same phase of each is compared.
        let tooth = troughs::period_ns(&run.span, self.config.minutes(10.0), self.ceiling_bytes());
        let back = span
            .max(self.config.minutes(45.0))
            .max(pause)
            .max(tooth.saturating_mul(2));
        if age.saturating_sub(growth.age_ns) < back / 2 {
            return None;
        }
        let share = run.rise_of_predicted(age, back, growth.slope)?;
        (share < if died { 0.1 } else { 0.2 }).then_some("the floor stopped rising")
    }

    /// In a later run: it must have lived on for much longer than the growth of then allowed.
    fn outlived(&self, run: &Run, growth: &Growth, age: u64) -> Option<&'static str> {
        let (entered_run, entered_age) = self.entered;
        let lived = match self.ended().longest_life() {
            Some(lifetime) => lifetime,
            None if entered_run == run.number => return None,
            None => entered_age.saturating_add((growth.time_to_ceiling_s.min(1e7) * 1e9) as u64),
        };
        let (factor, least) = if self.state == State::Confirmed {
            (3, self.config.hours(24.0))
        } else {
            (2, self.config.hours(1.0))
        };
        (age > lived.saturating_mul(factor).max(least)).then_some("a later run lived on without growing")
    }

    /// `resolved` where this version has lived, flat, for long enough.
    fn resolve(&mut self, age: u64) -> Option<Verdict> {
        let run = self.run.as_ref()?;
        let leak = self.unresolved.as_ref()?;
        if !matches!(self.state, State::Quiet | State::Retracted) {
            return None;
        }
        let day = self.config.hours(24.0).min(leak.lifetime_ns.saturating_mul(6));
        if age < leak.lifetime_ns.saturating_mul(2).max(day) {
            return None;
        }
        let buckets: Vec<_> = run.span.buckets().collect();
        let hours = run.span.width_ns() as f64 / 3.6e12;
        let settled = buckets.get(buckets.len() / 4..)?;
        let x: Vec<f64> = settled.iter().map(|(number, _)| *number as f64 * hours).collect();
        let y: Vec<f64> = settled.iter().map(|(_, wide)| wide.low.floor()).collect();
        let slope = line(&x, &y)?.slope;
        // Flat: at a fifth of the old slope or less.
        if slope > 0.2 * leak.slope {
            return None;
        }
        let after = Side {
            version: self.version.clone(),
            baseline: run.base() as u64,
            peak: run.span.buckets().map(|(_, wide)| u64::from(wide.max) * 1024).max()?,
            slope_bytes_per_hour: round(slope),
            lifetime_s: round(age as f64 / 1e9),
        };
        let before = Side {
            version: leak.version.clone(),
            baseline: leak.baseline,
            peak: leak.peak,
            slope_bytes_per_hour: round(leak.slope),
            lifetime_s: round(leak.lifetime_ns as f64 / 1e9),
        };
        let first_version = self.first_version.take().or_else(|| leak.version.clone());
        let verdict = self.plain(
            State::Resolved,
            leak.state,
            age,
            "this version lives on where the one before died",
        );
        let verdict = Verdict {
            slope_bytes_per_hour: after.slope_bytes_per_hour,
            first_version,
            comparison: Some(Comparison { before, after }),
            ..verdict
        };
        self.unresolved = None;
        self.state = State::Resolved;
        Some(verdict)
    }
}
