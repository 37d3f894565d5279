//! Time to the ceiling: reads an evaluation and earlier lifetimes, produces an interval of seconds.

use libm::exp;

use super::{
    gates::{Axis, Evaluation},
    shape::Curve,
};
use crate::{
    detect::statistics::{median, within},
    finding::Forecast,
};

/// z of p10 and p90.
pub(super) const Z80: f64 = 1.282;
/// Relative standard deviation no forecast goes below: the ceiling and the floor are themselves estimates.
pub(super) const LEAST_ERROR: f64 = 0.1;
/// What is added where the load varies and the leak follows it, as a share of the load's own variation.
const LOAD_ERROR: f64 = 1.8;

/// Of the variance of what is left: as much again for the mean that was seen, and both threefold, since few blocks of few
/// bursts know their variance as badly (coverage measured on burst-like leaks).
const BURSTS: f64 = 6.0;

/// What a forecast takes into account beside the evaluation of a window.
#[derive(Clone, Debug, Default)]
pub struct Circumstances<'a> {
    /// Bytes by which the floor has to rise.
    pub rise: f64,
    /// Hours since the floor was where it is said to be: it is the lowest level of buckets that have closed.
    pub lag: f64,
    /// Slope of the whole run beside a load that swung for days, bytes an hour.
    pub adjusted_over_days: Option<f64>,
    /// Age of the run, seconds.
    pub age_s: f64,
    /// CPU seconds an hour over the whole run; 0 where unknown.
    pub work_per_hour: f64,
    /// The curve of the whole run on time, with its last x, where it quickens.
    pub whole: Option<(Curve, f64)>,
    /// Lifetimes of earlier runs of this version that died at a ceiling, seconds.
    pub lifetimes: &'a [f64],
}

/// Forecasts the time until the floor has risen to the ceiling.
///
/// The straight line is the forecast unless a quickening curve is preferred, or a slowing one that still reaches the
/// ceiling; one that quickens and is as good as the line is averaged with it by its odds. A leak per request is carried on at the whole run's mean load. Earlier lifetimes are pooled with the forecast
/// by inverse variance.
pub fn forecast(evaluation: &Evaluation, circumstances: &Circumstances<'_>) -> Option<Forecast> {
    let Circumstances {
        rise, age_s, lifetimes, ..
    } = circumstances;
    let adjusted_over_days = circumstances
        .adjusted_over_days
        .filter(|slope| within(*slope, evaluation.slope.median, 3.0));
    let slope = adjusted_over_days
        .or(evaluation.load_adjusted_slope)
        .unwrap_or(evaluation.slope.median);
    if slope <= 0.0 || !rise.is_finite() {
        return None;
    }
    let (rise, age_s) = (rise.max(0.0), *age_s);
    let mut hours = rise / slope;
    let curve = evaluation
        .shape
        .and_then(|shape| shape.quickens().or_else(|| shape.slows()));
    let own = curve.map(|curve| (curve, evaluation.x_now));
    let best = match (own, circumstances.whole) {
        (Some(own), Some(whole)) if own.0.preference > whole.0.preference => Some(own),
        (own, whole) => whole.or(own),
    };
    let mut bend = 0.0;
    if let Some(curved) = best.and_then(|(curve, x)| curve.hours_to_rise(x, rise)) {
        bend = (curved - hours).abs() / 4.0;
        hours = curved;
    } else if let Some(maybe) = evaluation.shape.and_then(|shape| shape.quickening)
        && maybe.preference > 0.0
        && let Some(curved) = maybe
            .hours_to_rise(evaluation.x_now, rise)
            .filter(|curved| *curved < hours)
    {
        // BIC's odds of the curve against the line.
        let odds = 1.0 / (1.0 + exp(-0.5 * maybe.preference));
        bend = (hours - curved) / 4.0;
        hours -= odds * (hours - curved);
    }
    if evaluation.axis == Axis::Work && evaluation.work_per_hour > 0.0 && circumstances.work_per_hour > 0.0 {
        hours *= (evaluation.work_per_hour / circumstances.work_per_hour).clamp(0.3, 3.0);
    }
    hours = (hours - circumstances.lag).max(0.25 * hours);
    // Bursts that come are as many as chance has it, and their own mean is known no better.
    let bursts = (BURSTS * evaluation.burst / rise.max(1.0)).sqrt().min(1.0);
    // The slope's interval in relative terms; a wide one says little about its upper side.
    let (low, high) = evaluation.slope.interval80;
    let from_slope = ((high - low) / (2.0 * Z80) / slope).clamp(0.0, 1.0);
    let from_load = match evaluation.axis {
        Axis::Work => LOAD_ERROR * evaluation.load_spread,
        Axis::Time => 0.5 * LOAD_ERROR * evaluation.load_spread,
    };
    // What lies farther away than what was seen is less certain.
    let reach = 0.1 * (hours / evaluation.hours.max(1e-9)).min(4.0);
    let relative = from_slope
        .hypot(from_load)
        .hypot(reach)
        .hypot(LEAST_ERROR)
        .hypot(bursts);
    let mut middle = hours * 3_600.0;
    // Three quarters of an hour in a day of observation, and never less than the sampling can tell.
    let mut deviation = (middle * relative)
        .hypot(bend * 3_600.0)
        .hypot(0.03 * evaluation.hours * 3_600.0);
    if let Some((life, spread)) = earlier(lifetimes) {
        let left = (life - age_s).max(0.0);
        let (a, b) = (1.0 / (deviation * deviation).max(1.0), 1.0 / (spread * spread).max(1.0));
        // A run that outlived the earlier ones is not like them.
        if left > 0.0 {
            middle = (middle * a + left * b) / (a + b);
            // Where the two disagree the interval must hold both.
            let disagreement = (middle - left).abs().min((middle - hours * 3_600.0).abs());
            deviation = (1.0 / (a + b)).sqrt().hypot(disagreement);
        }
    }
    // The error of a time is skewed: slopes err alike on both sides, their inverses do not.
    let ratio = if middle > 0.0 { deviation / middle } else { 0.0 };
    Some(Forecast {
        p10: (middle / (1.0 + Z80 * ratio)).max(0.0),
        p50: middle,
        p90: middle * (1.0 + Z80 * ratio) + Z80 * 0.1 * deviation,
    })
}

/// Median of earlier lifetimes, and how far one more may lie from it.
fn earlier(lifetimes: &[f64]) -> Option<(f64, f64)> {
    if lifetimes.is_empty() {
        return None;
    }
    let mut sorted = lifetimes.to_vec();
    let middle = median(&mut sorted);
    let mut away: Vec<f64> = lifetimes.iter().map(|life| (life - middle).abs()).collect();
    let spread = (1.48 * median(&mut away)).max(middle * if lifetimes.len() < 3 { 0.25 } else { 0.12 });
    Some((middle, spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::statistics::Slope;

    fn steady(slope: f64) -> Evaluation {
        Evaluation {
            gates: Vec::new(),
            passed: true,
            slope: Slope {
                median: slope,
                interval99: (slope * 0.9, slope * 1.1),
                interval80: (slope * 0.95, slope * 1.05),
                z: 9.0,
            },
            axis: Axis::Time,
            shape: None,
            hours: 4.0,
            floor: 1e8,
            x_now: 4.0,
            load_spread: 0.0,
            load_adjusted_slope: None,
            burst: 0.0,
            work_per_hour: 0.0,
        }
    }

    fn at(rise: f64, lifetimes: &[f64]) -> Circumstances<'_> {
        Circumstances {
            rise,
            age_s: 4.0 * 3_600.0,
            lifetimes,
            ..Circumstances::default()
        }
    }

    #[test]
    fn a_steady_leak_is_the_rest_over_the_slope() {
        let found = forecast(&steady(1e8), &at(2e8, &[])).unwrap();
        assert!((found.p50 - 7_200.0).abs() < 1e-6);
        assert!(
            found.p10 < found.p50 && found.p50 < found.p90 && found.p90 < 2.0 * found.p50,
            "{found:?}"
        );
    }

    #[test]
    fn earlier_lives_pull_it() {
        let found = forecast(&steady(0.7e8), &at(2e8, &[21_600.0, 21_700.0, 21_500.0])).unwrap();
        assert!(found.p50 < 10_000.0 && found.p50 > 7_200.0, "{found:?}");
        assert_eq!(forecast(&steady(-1.0), &at(1.0, &[])), None);
        assert_eq!(forecast(&steady(1.0), &at(f64::INFINITY, &[])), None);
    }
}
