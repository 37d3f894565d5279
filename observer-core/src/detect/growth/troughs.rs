//! A climb under tall teeth: reads a run's whole life, produces an evaluation of its troughs, what is left after each
//! collection.
//!
//! Blocks of equal duration meet a slow tooth at any height, so no gate that compares them holds. The troughs alone are few
//! and regular: a line through them says whether the floor rises, and the teeth above it how early the ceiling is reached.

use super::gates::{Axis, Evaluation, Outcome};
use crate::detect::{
    history::{ring::UNIT, span::Span},
    statistics::{Slope, correlation, line, mean, median},
    thresholds::{HIGH_WATER, LATER_HALF, NO_RIVAL, SIZE_BYTES, TOOTH, TROUGH_GROWTH, TROUGHS, TROUGHS_STRAIGHT},
};

/// Student's t for 99 and 80 in 100, by degrees of freedom from 2; the last for all beyond.
const T99: [f64; 9] = [9.92, 5.84, 4.60, 4.03, 3.71, 3.50, 3.36, 3.25, 3.17];
const T80: [f64; 9] = [1.89, 1.64, 1.53, 1.48, 1.44, 1.41, 1.40, 1.38, 1.37];

/// What is left after a collection.
#[derive(Clone, Copy, Debug)]
struct Trough {
    /// Hours since the run's start.
    hours: f64,
    /// Bytes.
    floor: f64,
    /// CPU seconds since the run's start; negative where unknown.
    work: f64,
    /// The tooth before it, bytes.
    tooth: f64,
}

/// The evaluation of a run's troughs, with the height of its teeth; `None` where they are too few, or do not rise.
/// `bounded` is the highest level that earlier runs lived with.
pub(in crate::detect) fn evaluate(span: &Span, skip_ns: u64, ceiling: f64, bounded: f64) -> Option<(Evaluation, f64)> {
    if !ceiling.is_finite() {
        return None;
    }
    let troughs = find(span, skip_ns, (TOOTH * ceiling).max(SIZE_BYTES));
    let (first, last) = (troughs.first()?, troughs.last()?);
    if troughs.len() < TROUGHS || last.floor < bounded * HIGH_WATER {
        return None;
    }
    let x: Vec<f64> = troughs.iter().map(|trough| trough.hours).collect();
    let y: Vec<f64> = troughs.iter().map(|trough| trough.floor).collect();
    let fitted = line(&x, &y)?;
    let rises = y.windows(2).filter(|pair| pair[1] > pair[0]).count();
    // One trough in five may lie below the one before.
    let needed = (y.len() - 1) - (y.len() - 1) / 5;
    let explained = correlation(&x, &y).powi(2);
    let half = x.len() / 2;
    let later = line(x.get(half.saturating_sub(1)..)?, y.get(half.saturating_sub(1)..)?)?;
    let gates: Vec<Outcome> = [
        ("size", last.floor - first.floor, TROUGH_GROWTH * ceiling),
        ("troughs_rise", rises as f64, needed as f64),
        ("troughs_straight", explained, TROUGHS_STRAIGHT),
        (
            "not_saturating",
            later.slope / fitted.slope.max(f64::MIN_POSITIVE),
            LATER_HALF,
        ),
        ("load_adjusted", rivalry(&troughs, &y, fitted.rss), NO_RIVAL),
    ]
    .into_iter()
    .map(|(name, value, threshold)| Outcome {
        name,
        held: value >= threshold,
        value,
        threshold,
    })
    .collect();
    let mut teeth: Vec<f64> = troughs.iter().map(|trough| trough.tooth).collect();
    let hours = last.hours - first.hours;
    Some((
        Evaluation {
            passed: gates.iter().all(|gate| gate.held),
            gates,
            slope: slope(&x, fitted.slope, fitted.rss),
            axis: Axis::Time,
            shape: None,
            hours,
            floor: last.floor,
            x_now: last.hours,
            load_spread: 0.0,
            load_adjusted_slope: None,
            burst: 0.0,
            work_per_hour: 0.0,
        },
        median(&mut teeth),
    ))
}

/// Nanoseconds from one trough to the next on average; 0 where there are fewer than two.
pub(in crate::detect) fn period_ns(span: &Span, skip_ns: u64, ceiling: f64) -> u64 {
    if !ceiling.is_finite() {
        return 0;
    }
    let troughs = find(span, skip_ns, (TOOTH * ceiling).max(SIZE_BYTES));
    match (troughs.first(), troughs.last()) {
        (Some(first), Some(last)) if troughs.len() > 1 => {
            ((last.hours - first.hours) / (troughs.len() - 1) as f64 * 3.6e12) as u64
        }
        _ => 0,
    }
}

/// The troughs of a run: lowest floors after a fall of at least `least` bytes and before such a rise, its start and the current
/// tooth left out.
///
/// It is the floor that must fall. A bucket's highest level above the next one's floor is a tooth wherever noise, or a step, is as high.
fn find(span: &Span, skip_ns: u64, least: f64) -> Vec<Trough> {
    let width = span.width_ns();
    let mut troughs: Vec<Trough> = Vec::new();
    // Falling towards a trough (the lowest so far), or rising from one (the highest floor and level so far).
    let mut low: Option<Trough> = None;
    let (mut high, mut highest) = (0.0f64, 0.0f64);
    for (number, wide) in span
        .buckets()
        .filter(|(number, _)| number.saturating_mul(width) >= skip_ns)
    {
        let (floor, top) = (wide.low.floor(), f64::from(wide.max) * UNIT as f64);
        match &mut low {
            Some(trough) => {
                if floor < trough.floor {
                    trough.hours = (number as f64 + 0.5) * width as f64 / 3.6e12;
                    trough.floor = floor;
                    trough.work = f64::from(wide.low.work);
                }
                if top - trough.floor >= least {
                    troughs.extend(low.take());
                    (high, highest) = (floor, top);
                }
            }
            None => {
                (high, highest) = (high.max(floor), highest.max(top));
                if high - floor >= least {
                    low = Some(Trough {
                        hours: (number as f64 + 0.5) * width as f64 / 3.6e12,
                        floor,
                        work: f64::from(wide.low.work),
                        tooth: highest - floor,
                    });
                }
            }
        }
    }
    troughs
}

/// How much worse the load alone explains the troughs than a line over time does; large where no load is known.
fn rivalry(troughs: &[Trough], y: &[f64], rss: f64) -> f64 {
    if troughs.iter().any(|trough| trough.work < 0.0) || troughs.len() < 3 {
        return NO_RIVAL;
    }
    let mut load: Vec<f64> = troughs
        .windows(2)
        .map(|pair| (pair[1].work - pair[0].work) / (pair[1].hours - pair[0].hours).max(f64::MIN_POSITIVE))
        .collect();
    load.insert(0, load.first().copied().unwrap_or_default());
    let by_load = line(&load, y).map_or(f64::INFINITY, |by_load| by_load.rss);
    (by_load / rss.max(f64::MIN_POSITIVE)).min(1e6)
}

/// The line's slope with intervals from its residuals.
fn slope(x: &[f64], slope: f64, rss: f64) -> Slope {
    let n = x.len();
    let middle = mean(x);
    let spread: f64 = x.iter().map(|x| (x - middle) * (x - middle)).sum();
    let freedom = n.saturating_sub(2).max(1);
    let error = (rss / freedom as f64 / spread.max(f64::MIN_POSITIVE)).sqrt();
    let t = |table: &[f64; 9]| table[freedom.saturating_sub(2).min(8)];
    let interval = |t: f64| (slope - t * error, slope + t * error);
    Slope {
        median: slope,
        interval99: interval(t(&T99)),
        interval80: interval(t(&T80)),
        z: slope / error.max(f64::MIN_POSITIVE),
    }
}
