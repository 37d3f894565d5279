//! Growth on one scale: reads a run and what bounds it, produces an evaluation of the gates with a forecast.

use super::{
    forecast::{Circumstances, forecast},
    gates::{Around, Axis, Evaluation, evaluate, reaches},
    load::{LoadAdjustment, remains_beside_load},
    shape::{self, Curve},
    troughs,
};
use crate::{
    detect::{
        config::DetectConfig,
        history::{ring::UNIT, run::Run, window::Window},
        statistics::{line, within},
        thresholds::{LARGE_DROP, WHOLE_RUN_REACHES},
    },
    finding::Forecast,
};

/// What is known beside the run in progress.
#[derive(Clone, Debug)]
pub(in crate::detect) struct Bounds {
    /// Bytes at which the run dies; infinite where nothing bounds it.
    pub ceiling: f64,
    /// Highest level of earlier runs that were bounded, bytes.
    pub bounded: f64,
    /// Seconds that earlier runs of this version lived until they died as a leak does.
    pub lifetimes: Vec<f64>,
}

/// Growth on one scale, with its forecast where all gates held.
pub(in crate::detect) struct Growing {
    pub scale: usize,
    pub evaluation: Evaluation,
    pub time_to_ceiling: Option<Forecast>,
    /// Hours since the floor was where it is said to be.
    pub lag: f64,
    /// Height of the teeth above the floor, bytes.
    pub teeth: f64,
    /// It stands on the troughs between tall teeth.
    pub troughs: bool,
}

/// Evaluates one scale of a run `age` nanoseconds old; `None` where its history is too short.
pub(in crate::detect) fn measure(
    run: &Run,
    scale: usize,
    age: u64,
    bounds: &Bounds,
    config: &DetectConfig,
) -> Option<Growing> {
    let skip = Run::warm_up(age, config);
    let window = match run.rings.get(scale) {
        Some(ring) => Window::of_ring(ring, skip),
        None => Window::of_span(&run.span, skip),
    };
    let ceiling = bounds.ceiling;
    let around = around(run, &window, bounds, config);
    let mut evaluation = evaluate(&window, &around)?;
    let mut whole = None;
    if evaluation.passed {
        match whole_run_allows(run, skip, &evaluation, ceiling) {
            Some(curve) => whole = curve,
            None if scale == 3 => {}
            None => evaluation.fail("whole_run"),
        }
    }
    let mut teeth = run.teeth;
    let mut lag = age as f64 / 3.6e12 - window.floor_at();
    let mut on_troughs = false;
    if scale == 3
        && !evaluation.passed
        && let Some((found, height)) =
            troughs::evaluate(&run.span, skip, ceiling, around.bounded).filter(|(found, _)| found.passed)
    {
        (teeth, on_troughs) = (height, true);
        lag = age as f64 / 3.6e12 - found.x_now;
        evaluation = found;
    }
    let time_to_ceiling = if evaluation.passed {
        let circumstances = Circumstances {
            rise: ceiling - teeth.min(if on_troughs { ceiling } else { 0.25 * ceiling }) - evaluation.floor,
            lag,
            adjusted_over_days: adjusted_over_days(run, skip, config),
            age_s: age as f64 / 1e9,
            work_per_hour: run.work / (age as f64 / 3.6e12),
            whole,
            lifetimes: &bounds.lifetimes,
        };
        forecast(&evaluation, &circumstances)
    } else {
        None
    };
    Some(Growing {
        scale,
        evaluation,
        time_to_ceiling,
        lag,
        teeth,
        troughs: on_troughs,
    })
}

/// What lies around a window: earlier highs of the run, the peak before its last large drop, earlier runs' peaks.
fn around(run: &Run, window: &Window, bounds: &Bounds, config: &DetectConfig) -> Around {
    let width = run.span.width_ns();
    let drop = if bounds.ceiling.is_finite() {
        LARGE_DROP * bounds.ceiling
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
    Around {
        ceiling: bounds.ceiling,
        earlier_high,
        before_drop,
        bounded: bounds.bounded,
        day_hours: config.hours(24.0) as f64 / 3.6e12,
    }
}

/// What looks straight for an hour may be a small piece of a cache that fills over a day: `None` where the whole run
/// says so, and otherwise the curve on which it quickens, where it does.
fn whole_run_allows(run: &Run, skip: u64, evaluation: &Evaluation, ceiling: f64) -> Option<Option<(Curve, f64)>> {
    let whole = Window::of_span(&run.span, skip);
    let by_work = match evaluation.axis {
        Axis::Work => whole.work_hours(),
        Axis::Time => None,
    };
    let axis = by_work.as_deref().unwrap_or(&whole.hours);
    let (Some(shape), Some(x_now)) = (shape::fit(axis, &whole.floor), axis.last()) else {
        return Some(None);
    };
    // Over an hour a morning's traffic is a trend; over the whole run it is traffic.
    if !remains_beside_load(&whole, axis) {
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
    (share >= WHOLE_RUN_REACHES).then(|| {
        shape
            .quickens()
            .filter(|curve| by_work.is_none() && bends(curve))
            .map(|curve| (curve, *x_now))
    })
}

/// The whole run's slope beside a load that swung for days.
fn adjusted_over_days(run: &Run, skip: u64, config: &DetectConfig) -> Option<f64> {
    let whole = Window::of_span(&run.span, skip);
    let days = whole.hours_spanned() * 3.6e12 / config.hours(24.0) as f64;
    let straight = line(&whole.hours, &whole.floor)?;
    let adjustment = LoadAdjustment::of(&whole.hours, &whole.load(), &whole.floor, &straight);
    adjustment.adjusted_floors(&whole.hours, &whole.floor, &straight, days)?;
    adjustment.adjusted_slope(&straight)
}
