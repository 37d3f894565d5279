//! Judging a run in progress: reads its history after each bucket, produces a change of state where one is due.

use super::{
    SlotDetector, Verdict,
    beside::{BesideLoad, stands_beside_load},
    forecast::{Circumstances, forecast},
    gates::{Around, Evaluation, evaluate, reaches},
    record::{Record, within},
    ring::UNIT,
    shape::{self, Curve},
    slot::{Growth, Run, SCALES},
    stats::{line, quantile},
    troughs,
    window::Window,
};

/// Buckets of each ring between two evaluations: 4, 16 and 128 min at time scale 1.
const EVERY: [u64; 3] = [2, 1, 1];
/// Growth on one scale, with its forecast where all gates held.
pub(super) struct Seen {
    pub scale: usize,
    pub evaluation: Evaluation,
    pub time_to_ceiling: Option<super::Forecast>,
    /// Hours since the floor was where it is said to be.
    pub lag: f64,
    /// Height of the teeth above the floor, bytes.
    pub teeth: f64,
    /// It stands on the troughs between tall teeth.
    pub troughs: bool,
}

impl SlotDetector {
    /// Evaluates the scales that are due at `age` nanoseconds into the run.
    pub(super) fn judge(&mut self, age: u64) -> Option<Verdict> {
        let due = self.due(age)?;
        let mut verdict = None;
        for scale in (0..SCALES).filter(|scale| due[*scale]) {
            let seen = self.look(scale, age);
            verdict = verdict.or_else(|| self.accuse(seen, age));
        }
        verdict.or_else(|| self.relent(age))
    }

    /// Which scales are due; `None` where none is.
    fn due(&mut self, age: u64) -> Option<[bool; SCALES]> {
        let run = self.run.as_mut()?;
        let mut due = [false; SCALES];
        for scale in 0..3 {
            let hold = &mut run.holds[scale];
            if hold.pending >= EVERY[scale] {
                hold.pending = 0;
                due[scale] = true;
                if scale == 1 {
                    run.tooth_ends();
                }
            }
        }
        let hold = &mut run.holds[3];
        if age >= hold.pending {
            hold.pending = age.saturating_add((age / 24).max(self.config.minutes(5.0)));
            due[3] = true;
        }
        due.iter().any(|scale| *scale).then_some(due)
    }

    /// Evaluates one scale and keeps how long it has held; gives back growth that does.
    fn look(&mut self, scale: usize, age: u64) -> Option<Seen> {
        let seen = self.measure(scale, age)?;
        let run = self.run.as_mut()?;
        let number = run.number;
        let hold = run.holds.get_mut(scale)?;
        if !seen.evaluation.passed {
            hold.failed = hold.failed.saturating_add(1);
            if hold.failed >= 2 {
                hold.since_ns = None;
            }
            return None;
        }
        hold.failed = 0;
        hold.since_ns.get_or_insert(age);
        let evaluation = &seen.evaluation;
        self.growth = Some(Growth {
            run: number,
            age_ns: age,
            slope: evaluation.slope.median,
            interval: evaluation.slope.interval99,
            floor: evaluation.floor,
            hours: evaluation.hours,
            time_to_ceiling_s: seen.time_to_ceiling.map_or(f64::MAX, |forecast| forecast.p50),
        });
        Some(seen)
    }

    /// Evaluates one scale; `None` where too little of it was seen.
    pub(super) fn measure(&self, scale: usize, age: u64) -> Option<Seen> {
        let skip = self.config.minutes(10.0).max((age / 10).min(self.config.hours(6.0)));
        let ceiling = self.ceiling();
        let run = self.run.as_ref()?;
        let window = match run.rings.get(scale) {
            Some(ring) => Window::of_ring(ring, skip),
            None => Window::of_span(&run.span, skip),
        };
        let bytes = ceiling.map_or(f64::INFINITY, |ceiling| ceiling.bytes as f64);
        let around = self.around(run, &window, bytes);
        let mut evaluation = evaluate(&window, &around)?;
        let mut whole = None;
        if evaluation.passed {
            match self.whole_run_allows(run, skip, &evaluation, bytes) {
                Some(curve) => whole = curve,
                None if scale == 3 => {}
                None => evaluation.fail("whole_run"),
            }
        }
        let mut teeth = run.teeth;
        let mut lag = age as f64 / 3.6e12 - window.floor_at();
        let mut troughs = false;
        if scale == 3
            && !evaluation.passed
            && let Some((found, height)) =
                troughs::evaluate(&run.span, skip, bytes, around.bounded).filter(|(found, _)| found.passed)
        {
            (teeth, troughs) = (height, true);
            lag = age as f64 / 3.6e12 - found.x_now;
            evaluation = found;
        }
        let held = evaluation.passed;
        let time_to_ceiling = if held {
            let circumstances = Circumstances {
                rise: bytes - teeth.min(if troughs { bytes } else { 0.25 * bytes }) - evaluation.floor,
                lag,
                beside_days: self.beside_days(run, skip),
                age_s: age as f64 / 1e9,
                work_per_hour: run.work / (age as f64 / 3.6e12),
                whole,
                lifetimes: self.lifetimes(),
            };
            forecast(&evaluation, &circumstances)
        } else {
            None
        };
        Some(Seen {
            scale,
            evaluation,
            time_to_ceiling,
            lag,
            teeth,
            troughs,
        })
    }

    /// What lies around a window: earlier highs of the run, the peak before its last large drop, earlier runs' peaks.
    fn around(&self, run: &Run, window: &Window, ceiling: f64) -> Around {
        let width = run.span.width_ns();
        let drop = if ceiling.is_finite() {
            0.1 * ceiling
        } else {
            f64::INFINITY
        };
        let (mut earlier_high, mut before_drop, mut peak) = (0.0f64, 0.0f64, 0.0f64);
        for (number, wide) in run.span.buckets() {
            if (number + 1).saturating_mul(width) <= window.from_ns && number > 0 {
                earlier_high = earlier_high.max(f64::from(wide.max) * UNIT as f64);
            }
            let floor = wide.low.floor();
            if peak - floor >= drop {
                before_drop = before_drop.max(peak);
            }
            peak = peak.max(floor);
        }
        let bounded = self
            .records
            .iter()
            .filter(|record| !record.at_ceiling() && record.lifetime_ns() >= self.config.minutes(30.0))
            .filter(|record| !record.rose() || self.bounded_alike(record))
            .map(|record| record.peak_bytes() as f64)
            .fold(0.0, f64::max);
        Around {
            ceiling,
            earlier_high,
            before_drop,
            bounded,
            day_hours: self.config.hours(24.0) as f64 / 3.6e12,
        }
    }

    /// Another run ended at the same level, and not at a ceiling: a level that is reached each time is no news.
    fn bounded_alike(&self, record: &Record) -> bool {
        self.records.iter().any(|other| {
            other.run != record.run && !other.at_ceiling() && within(f64::from(other.peak), f64::from(record.peak), 1.1)
        })
    }

    /// What looks straight for an hour may be a small piece of a cache that fills over a day: `None` where the whole run
    /// says so, and otherwise the curve on which it quickens, where it does.
    fn whole_run_allows(
        &self,
        run: &Run,
        skip: u64,
        evaluation: &Evaluation,
        ceiling: f64,
    ) -> Option<Option<(Curve, f64)>> {
        let whole = Window::of_span(&run.span, skip);
        let by_work = match evaluation.axis {
            super::gates::Axis::Work => whole.work_hours(),
            super::gates::Axis::Time => None,
        };
        let axis = by_work.as_deref().unwrap_or(&whole.hours);
        let (Some(shape), Some(x_now)) = (shape::fit(axis, &whole.floor), axis.last()) else {
            return Some(None);
        };
        // Over an hour a morning's traffic is a trend; over the whole run it is traffic.
        if !stands_beside_load(&whole, axis) {
            return None;
        }
        let share = reaches(&shape, *x_now, evaluation.floor, evaluation.slope.median, ceiling)?;
        // A flat beginning makes any late leak look as if it quickened: the curve must also rise as the window does, and
        // the window must bend too, unless it is too short to.
        let bends = |curve: &Curve| {
            let own = evaluation.shape.and_then(|shape| shape.quickening);
            let rise = (curve.at(*x_now) - curve.at(*x_now - evaluation.hours)) / evaluation.hours;
            within(rise, evaluation.slope.median, 1.25)
                && (evaluation.hours < 0.35 * curve.tau || own.is_some_and(|own| own.preference > 0.0))
        };
        (share >= 0.15).then(|| {
            shape
                .quickens()
                .filter(|curve| by_work.is_none() && bends(curve))
                .map(|curve| (curve, *x_now))
        })
    }

    /// The whole run's slope beside a load that swung for days.
    fn beside_days(&self, run: &Run, skip: u64) -> Option<f64> {
        let whole = Window::of_span(&run.span, skip);
        let days = whole.hours_spanned() * 3.6e12 / self.config.hours(24.0) as f64;
        let straight = line(&whole.hours, &whole.floor)?;
        let beside = BesideLoad::of(&whole.hours, &whole.load(), &whole.floor, &straight);
        beside.left_over(&whole.hours, &whole.floor, &straight, days)?;
        beside.slope_beside(&straight)
    }

    /// Seconds that earlier runs of this version lived until they died as a leak does.
    pub(super) fn lifetimes(&self) -> Vec<f64> {
        self.deaths().map(|record| record.lifetime_ns() as f64 / 1e9).collect()
    }

    /// Earlier runs of this version that rose to a ceiling and died there.
    pub(super) fn deaths(&self) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(|record| record.generation == self.generation && record.at_ceiling() && record.leaked())
    }
}

/// The run's level after its start, bytes.
pub(super) fn run_base(run: &Run) -> f64 {
    let mut early: Vec<f64> = run
        .span
        .buckets()
        .skip(1)
        .take(6)
        .map(|(_, wide)| wide.low.floor())
        .collect();
    quantile(&mut early, 0.25)
}

/// The run's highest floor, bytes.
pub(super) fn highest_floor(run: &Run) -> f64 {
    run.span.buckets().map(|(_, wide)| wide.low.floor()).fold(0.0, f64::max)
}
