//! Patterns: reads the records of runs that were killed, says what their growth looked like and what may explain it.

use super::record::Record;
use crate::{
    detect::{history::ring::UNIT, statistics::fewest_that_hold},
    finding::{Explanation, GrowthPattern},
};

/// Share of a run's growth below which a step is noise.
const STEP: f64 = 0.08;

/// Share of the growth that few steps hold where it comes in bursts, and how many are few.
const MOST: f64 = 0.75;

const FEW: usize = 5;

/// Most that a climb in bursts gives back, as a share of its growth.
const GIVEN_BACK: f64 = 0.2;

/// Share of the ceiling at which a level that hardly grows is close to it.
const CLOSE: f64 = 0.7;

/// What most of the runs looked like, and what may explain that.
pub(super) fn explain(killed: &[&Record]) -> (GrowthPattern, Explanation) {
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
    let ceiling = ceiling_of(record);
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

/// The ceiling of a run, KiB; its peak where none was known.
fn ceiling_of(record: &Record) -> f64 {
    record
        .ceiling
        .map_or(f64::from(record.peak), |ceiling| ceiling.bytes as f64 / UNIT as f64)
}

/// It rose in a few steps, kept what it had, and was not killed by a single one.
pub(super) fn climbed_in_bursts(record: &Record) -> bool {
    let Some(climb) = record.climb.as_ref().filter(|_| !record.garbage) else {
        return false;
    };
    let ceiling = ceiling_of(record);
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
    fewest_that_hold(&mut steps, MOST)
}
