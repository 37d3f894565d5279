//! The gates: reads a window and what is known around it, produces what was measured and whether all of it held.
//!
//! The cheap ones come first and the first that fails ends the evaluation, since a healthy service fails one of them at
//! almost every evaluation of its life. Names and thresholds are documented in docs/detection.md.

use super::{
    load::LoadAdjustment,
    shape::{self, Shape},
};
use crate::{
    detect::{
        history::window::{MIN_POINTS, Window},
        statistics::{self, Slope, line, round, theil_sen},
        thresholds::{
            BLOCKS, DRIFT_T, HIGH_WATER, LAST_THIRD, LOAD_SHARE, LOAD_T, REACHES, RISES, SIZE_BYTES, SIZE_OF_FLOOR,
            SIZE_SHARE,
        },
    },
    finding::Gate,
};

/// What is known around a window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// The ceiling, bytes; infinite where there is none.
    pub ceiling: f64,
    /// Highest level of this run before the window, bytes.
    pub earlier_high: f64,
    /// The floor's peak before its last large drop, bytes.
    pub before_drop: f64,
    /// Highest peak of earlier runs that were bounded, bytes.
    pub bounded: f64,
    /// Hours of a day, at the time scale of the slot.
    pub day_hours: f64,
}

/// Which axis the growth is straight on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Time.
    Time,
    /// Work done: a leak per request.
    Work,
}

/// What an evaluation measured.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The gates, as far as they were evaluated.
    pub gates: Vec<Outcome>,
    /// All held.
    pub passed: bool,
    /// The slope, bytes per hour (at the window's mean load on the axis of work).
    pub slope: Slope,
    /// The axis it was measured on.
    pub axis: Axis,
    /// The curves it follows.
    pub shape: Option<Shape>,
    /// Hours the window spans.
    pub hours: f64,
    /// The floor now, bytes.
    pub floor: f64,
    /// x of the window's last point on the axis.
    pub x_now: f64,
    /// Relative standard deviation of the load within the window; 0 where unknown.
    pub load_spread: f64,
    /// The slope that remains beside the load, where the load explains much of what the line does not.
    pub load_adjusted_slope: Option<f64>,
    /// Variance over mean of the growth from block to block, bytes: how much of it comes in bursts.
    pub burst: f64,
    /// CPU seconds an hour over the window; 0 where unknown.
    pub work_per_hour: f64,
}

impl Evaluation {
    /// Something beyond the window's own gates forbids it.
    pub(in crate::detect) fn fail(&mut self, name: &'static str) {
        self.passed = false;
        self.gates.push(Outcome {
            name,
            held: false,
            value: 0.0,
            threshold: 1.0,
        });
    }
}

/// A gate's outcome before it is put into words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// Whether it held.
    pub held: bool,
    /// What was measured.
    pub value: f64,
    /// What it was measured against.
    pub threshold: f64,
}

impl Outcome {
    /// As a verdict carries it.
    pub fn gate(&self) -> Gate {
        Gate {
            name: self.name.to_owned(),
            held: self.held,
            value: round(self.value),
            threshold: round(self.threshold),
        }
    }
}

struct Gates(Vec<Outcome>);

impl Gates {
    /// Notes an outcome; gives back whether it held.
    fn at_least(&mut self, name: &'static str, value: f64, threshold: f64) -> bool {
        let held = value >= threshold;
        self.0.push(Outcome {
            name,
            held,
            value,
            threshold,
        });
        held
    }
}

/// Evaluates all gates over a window; `None` where it has too few points.
pub fn evaluate(window: &Window, around: &Around) -> Option<Evaluation> {
    if window.len() < MIN_POINTS {
        return None;
    }
    let mut gates = Gates(Vec::with_capacity(10));
    let floor = window.floor_now();
    let mut evaluation = Evaluation {
        gates: Vec::new(),
        passed: false,
        slope: Slope::default(),
        axis: Axis::Time,
        shape: None,
        hours: window.hours_spanned(),
        floor,
        x_now: window.hours.last().copied().unwrap_or_default(),
        load_spread: 0.0,
        load_adjusted_slope: None,
        burst: 0.0,
        work_per_hour: 0.0,
    };
    evaluation.passed = hold(window, around, &mut gates, &mut evaluation).is_some();
    evaluation.gates = gates.0;
    Some(evaluation)
}

/// `Some` where all gates hold.
fn hold(window: &Window, around: &Around, gates: &mut Gates, evaluation: &mut Evaluation) -> Option<()> {
    let must = |held: bool| held.then_some(());
    let minima = window.block_minima(BLOCKS);
    let (first, last) = (*minima.first()?, *minima.last()?);
    let needed = SIZE_BYTES.max(if around.ceiling.is_finite() {
        SIZE_SHARE * around.ceiling
    } else {
        SIZE_OF_FLOOR * first
    });
    must(gates.at_least("size", last - first, needed))?;
    let high = (around.earlier_high * HIGH_WATER).max(around.before_drop);
    must(gates.at_least("high_water", evaluation.floor, high))?;
    must(gates.at_least("history", evaluation.floor, around.bounded * HIGH_WATER))?;

    // The axis on which it is straighter: time, or work.
    let by_time = line(&window.hours, &window.floor)?;
    let work = window.work_hours();
    let by_work = work.as_ref().and_then(|axis| line(axis, &window.floor));
    let (axis, straight) = match (&work, by_work) {
        (Some(work), Some(by_work)) if by_work.rss < by_time.rss => {
            evaluation.axis = Axis::Work;
            (work.as_slice(), by_work)
        }
        _ => (window.hours.as_slice(), by_time),
    };
    evaluation.x_now = axis.last().copied()?;
    let load = window.load();
    let adjustment = LoadAdjustment::of(axis, &load, &window.floor, &straight);
    evaluation.load_spread = adjustment.spread;
    // Days of traffic swing the floor: what is left without them is what must rise.
    let left = adjustment.adjusted_floors(axis, &window.floor, &straight, evaluation.hours / around.day_hours);
    let floors = left.as_deref().unwrap_or(&window.floor);

    let minima = window.minima_of(floors, BLOCKS);
    let steps: Vec<f64> = minima.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let rises = steps.iter().filter(|step| **step > 0.0).count();
    let needed = if steps.len() >= BLOCKS - 1 { RISES } else { steps.len() };
    must(gates.at_least("monotone_floor", rises as f64, needed as f64))?;
    evaluation.burst = burst(&steps);
    if let (Some(first), Some(last)) = (window.work.first(), window.work.last()) {
        evaluation.work_per_hour = (last - first) / evaluation.hours.max(f64::MIN_POSITIVE);
    }

    must(gates.at_least("drift", drift_t(&steps), DRIFT_T))?;
    let rho = if left.is_some() {
        line(axis, floors)?.rho
    } else {
        straight.rho
    };
    let slope = theil_sen(axis, floors, rho)?;
    evaluation.slope = slope;
    must(gates.at_least("significance", slope.interval99.0, f64::MIN_POSITIVE))?;

    let third = axis.len() - axis.len() / 3;
    let tail = line(axis.get(third..)?, floors.get(third..)?).map_or(0.0, |tail| tail.slope);
    must(gates.at_least("not_saturating", tail / slope.median, LAST_THIRD))?;

    must(gates.at_least("load_adjusted", adjustment.share, LOAD_SHARE))?;
    must(gates.at_least("load_adjusted_t", adjustment.t, LOAD_T))?;
    evaluation.load_adjusted_slope = adjustment.adjusted_slope(&straight);

    let shape = shape::fit(axis, floors)?;
    evaluation.shape = Some(shape);
    must(leads_somewhere("model", &shape, evaluation, around.ceiling, gates))
}

/// Whether the curve that is preferred reaches the ceiling, and within a few times what the line says.
pub fn reaches(shape: &Shape, x_now: f64, floor: f64, slope: f64, ceiling: f64) -> Option<f64> {
    let Some(curve) = shape.slows() else { return Some(1.0) };
    if !ceiling.is_finite() {
        return None;
    }
    let rise = (ceiling * 0.97 - floor).max(0.0);
    let straight = rise / slope.max(f64::MIN_POSITIVE);
    let curved = curve.hours_to_rise(x_now, rise)?;
    Some(if curved > 0.0 { straight / curved } else { 1.0 })
}

fn leads_somewhere(
    name: &'static str,
    shape: &Shape,
    evaluation: &Evaluation,
    ceiling: f64,
    gates: &mut Gates,
) -> bool {
    let share = reaches(
        shape,
        evaluation.x_now,
        evaluation.floor,
        evaluation.slope.median,
        ceiling,
    );
    gates.at_least(name, share.unwrap_or(0.0), REACHES)
}

/// Mean step over its standard error.
fn drift_t(steps: &[f64]) -> f64 {
    let n = steps.len() as f64;
    if n < 3.0 {
        return 0.0;
    }
    let mean = statistics::mean(steps);
    let variance = steps.iter().map(|step| (step - mean) * (step - mean)).sum::<f64>() / (n - 1.0);
    if variance > 0.0 {
        (mean / (variance / n).sqrt()).min(1e6)
    } else {
        1e6
    }
}

/// Variance over mean of steps.
fn burst(steps: &[f64]) -> f64 {
    let mean = statistics::mean(steps);
    if mean <= 0.0 || steps.len() < 3 {
        return 0.0;
    }
    let variance = steps.iter().map(|step| (step - mean) * (step - mean)).sum::<f64>() / (steps.len() as f64 - 1.0);
    variance / mean
}
