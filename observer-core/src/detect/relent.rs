//! Taking back: reads a run whose growth no longer holds, produces `retracted` or `resolved` where one is due.

use super::{SlotDetector, State, Verdict, record::Record, ring::BUCKETS, slot::Run, troughs};

impl SlotDetector {
    /// Takes the accusation back where the growth has stopped, or the run has outlived what was foretold.
    pub(super) fn relent(&mut self, age: u64) -> Option<Verdict> {
        if self.run.as_ref()?.holds.iter().any(|hold| hold.since_ns.is_some()) {
            return None;
        }
        if let Some(resolved) = self.resolve(age) {
            return Some(resolved);
        }
        let run = self.run.as_ref()?;
        if !matches!(self.state, State::Suspected | State::Likely | State::Confirmed) {
            return None;
        }
        let growth = self.growth?;
        let (entered_run, entered_age) = self.entered;
        if growth.run == run.number {
            // In the run in which growth was last seen: it must have stopped, over a fifth of what it was seen over.
            if self.state == State::Confirmed {
                return None;
            }
            // Once a run died of it, a pause is less likely to be the end of it: a night is none.
            let died = self.deaths().next().is_some();
            let span = (growth.hours * if died { 0.5 } else { 0.2 } * 3.6e12) as u64;
            let pause = self
                .deaths()
                .map(Record::lifetime_ns)
                .max()
                .unwrap_or(0)
                .min(self.config.hours(24.0));
            let ceiling = self.ceiling().map_or(f64::INFINITY, |ceiling| ceiling.bytes as f64);
            // Two whole teeth, so that the same phase of each is compared.
            let teeth = troughs::period_ns(&run.span, self.config.minutes(10.0), ceiling).saturating_mul(2);
            let back = span.max(self.config.minutes(45.0)).max(pause).max(teeth);
            if age.saturating_sub(growth.age_ns) < back / 2 {
                return None;
            }
            if rises_by(run, age, back, growth.slope)? < if died { 0.1 } else { 0.2 } {
                return Some(self.retract(age, "the floor stopped rising"));
            }
            return None;
        }
        let lived = match self.deaths().map(Record::lifetime_ns).max() {
            Some(lifetime) => lifetime,
            None if entered_run == run.number => return None,
            None => entered_age.saturating_add((growth.time_to_ceiling_s.min(1e7) * 1e9) as u64),
        };
        let factor = if self.state == State::Confirmed { 3 } else { 2 };
        let floor = if self.state == State::Confirmed {
            self.config.hours(24.0)
        } else {
            self.config.hours(1.0)
        };
        if age > lived.saturating_mul(factor).max(floor) {
            return Some(self.retract(age, "a later run lived on without growing"));
        }
        None
    }
}

/// How much the floor rose over the last `back` nanoseconds, as a share of what its slope said.
pub(super) fn rises_by(run: &Run, age: u64, back: u64, slope: f64) -> Option<f64> {
    let (then, now) = floors(run, age, back)?;
    let foretold = slope * back as f64 / 3.6e12;
    (foretold > 0.0).then(|| (now - then) / foretold)
}

/// The floor `back` nanoseconds ago and now, each over a sixth of that, bytes.
fn floors(run: &Run, age: u64, back: u64) -> Option<(f64, f64)> {
    let ring = run
        .rings
        .iter()
        .find(|ring| back / ring.width_ns() + 2 <= BUCKETS as u64)?;
    let width = ring.width_ns();
    let lowest = |from: u64, to: u64| {
        ring.closed()
            .filter(|(number, _)| number * width >= from && (number + 1) * width <= to)
            .map(|(_, bucket)| bucket.floor())
            .fold(f64::INFINITY, f64::min)
    };
    let part = (back / 6).max(2 * width);
    let start = age.checked_sub(back)?;
    let (then, now) = (
        lowest(start, start + part),
        lowest(age.saturating_sub(part + width), age),
    );
    (then.is_finite() && now.is_finite()).then_some((then, now))
}
