//! The load beside the growth: reads a window's load and floors, produces what of the growth the load does not explain.
//!
//! Memory that follows traffic rises each morning. A leak rises whatever the traffic does, and where it stands beside memory
//! that follows traffic, what is left once the load's part is taken away is a line.

use crate::detect::{
    history::window::{MIN_POINTS, Window},
    statistics::{self, Line, Plane, line, plane},
    thresholds::{NO_RIVAL, WHOLE_RUN_LOAD_SHARE, WHOLE_RUN_LOAD_T},
};

/// A load that explains so much that a service without any would hold less than nothing rose by chance as well. Not 0:
/// memory that follows load late looks as if it began below it.
pub const NOTHING_LEFT: f64 = -0.4;
/// Points by which memory may follow the load.
const LAGS: [f64; 4] = [0.0, 2.0, 6.0, 16.0];

/// A load that varies less than this share of its mean explains nothing.
const LEAST_SPREAD: f64 = 0.05;
/// Where the load leaves less than this share of what time alone leaves, the growth is looked at without it.
const SWINGS: f64 = 0.5;
/// Most of a load's variance that may be a trend, for it to count as swinging.
const SWUNG: f64 = 0.5;

/// What remains of a slope beside the load.
#[derive(Clone, Debug)]
pub struct LoadAdjustment {
    /// The worst share of the plain slope over all lags.
    pub share: f64,
    /// The worst t of what remains.
    pub t: f64,
    /// Relative standard deviation of the load; 0 where unknown.
    pub spread: f64,
    /// The fit that explains most, with the load it was made with.
    best: Option<(Plane, Vec<f64>)>,
}

impl LoadAdjustment {
    /// Takes the load in as it is and with lags: memory follows load late (queues, caches, collection).
    pub fn of(axis: &[f64], load: &[f64], floor: &[f64], straight: &Line) -> Self {
        let mut adjustment = Self {
            share: 1.0,
            t: 1e6,
            spread: spread(load),
            best: None,
        };
        if load.len() != axis.len() || adjustment.spread < LEAST_SPREAD || straight.slope <= 0.0 {
            return adjustment;
        }
        for lag in LAGS {
            let lagged = lagged(load, lag);
            // Load that cannot be told from the axis explains the growth as well as the axis does.
            let Some(plane) = plane(axis, &lagged, floor) else {
                (adjustment.share, adjustment.t, adjustment.best) = (0.0, 0.0, None);
                return adjustment;
            };
            if plane.without < NOTHING_LEFT {
                continue;
            }
            adjustment.share = adjustment.share.min(plane.slope / straight.slope);
            let alone = line(&lagged, floor).map_or(f64::INFINITY, |alone| alone.rss);
            if alone < NO_RIVAL * straight.rss {
                adjustment.t = adjustment.t.min(plane.t);
            }
            if adjustment.best.as_ref().is_none_or(|(best, _)| plane.rss < best.rss) {
                adjustment.best = Some((plane, lagged));
            }
        }
        adjustment
    }

    /// The slope that remains, where the load explains much of what the line does not.
    pub fn adjusted_slope(&self, straight: &Line) -> Option<f64> {
        let (best, _) = self.best.as_ref()?;
        (best.rss < 0.7 * straight.rss).then_some(best.slope)
    }

    /// The floors less what the load moved them by, where it swung for a day or more and moved them by much. A load that
    /// fell for half a day makes a line of any cache that fills meanwhile.
    pub fn adjusted_floors(&self, axis: &[f64], floor: &[f64], straight: &Line, days: f64) -> Option<Vec<f64>> {
        let (best, load) = self.best.as_ref()?;
        let trend = statistics::correlation(axis, load);
        let swung = days >= 1.0 && trend * trend < SWUNG;
        if !swung || best.load <= 0.0 || best.slope <= 0.0 || best.rss >= SWINGS * straight.rss {
            return None;
        }
        let mean = statistics::mean(load);
        let moved = floor
            .iter()
            .zip(load)
            .map(|(floor, load)| floor - best.load * (load - mean));
        Some(moved.collect())
    }
}

/// The load smoothed over about `lag` points.
pub(in crate::detect) fn lagged(load: &[f64], lag: f64) -> Vec<f64> {
    let mut smooth = load.first().copied().unwrap_or_default();
    load.iter()
        .map(|value| {
            smooth += (value - smooth) / (1.0 + lag);
            smooth
        })
        .collect()
}

/// Relative standard deviation; 0 where the mean is not positive.
fn spread(values: &[f64]) -> f64 {
    let mean = statistics::mean(values);
    if mean <= 0.0 {
        return 0.0;
    }
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len() as f64;
    variance.sqrt() / mean
}

/// Shares of a run at which growth may have begun.
const ONSETS: [f64; 6] = [0.0, 0.25, 0.5, 0.7, 0.82, 0.9];

/// Whether the growth of a whole run stands beside its load: more loosely than a window's. Before it began there is only
/// load, so it is a line from the onset that explains most.
pub fn remains_beside_load(whole: &Window, axis: &[f64]) -> bool {
    let load = whole.load();
    if whole.len() < 2 * MIN_POINTS || load.len() != axis.len() {
        return true;
    }
    let (Some(first), Some(last)) = (axis.first(), axis.last()) else {
        return true;
    };
    let from_onset = |share: f64| -> Vec<f64> {
        let onset = first + share * (last - first);
        axis.iter().map(|x| (x - onset).max(0.0)).collect()
    };
    let best = ONSETS
        .iter()
        .filter_map(|share| {
            let hinge = from_onset(*share);
            let rss = plane(&hinge, &load, &whole.floor)?.rss;
            Some((rss, hinge))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let hinge = best.map_or_else(|| axis.to_vec(), |best| best.1);
    let Some(straight) = line(&hinge, &whole.floor) else {
        return true;
    };
    let adjustment = LoadAdjustment::of(&hinge, &load, &whole.floor, &straight);
    adjustment.share >= WHOLE_RUN_LOAD_SHARE && adjustment.t >= WHOLE_RUN_LOAD_T
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours of `days`, a load that swings once a day from `phase` on, and a level of it.
    fn series(days: f64, level: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let hours: Vec<f64> = (0..60).map(|i| f64::from(i) * days * 24.0 / 60.0).collect();
        let load: Vec<f64> = hours
            .iter()
            .map(|hour| 1.0 + 0.6 * (hour / 24.0 * core::f64::consts::TAU).sin())
            .collect();
        let noise = |i: usize| ((i * 7919) % 13) as f64 / 13.0;
        let floor = (0..60).map(|i| level(hours[i], load[i]) + noise(i)).collect();
        (hours, load, floor)
    }

    fn left(days: f64, level: impl Fn(f64, f64) -> f64) -> Option<Vec<f64>> {
        let (hours, load, floor) = series(days, level);
        let straight = line(&hours, &floor).unwrap();
        LoadAdjustment::of(&hours, &load, &floor, &straight).adjusted_floors(&hours, &floor, &straight, days)
    }

    #[test]
    fn a_leak_under_daily_traffic_is_a_line_without_it() {
        let floors = left(2.5, |hour, load| 200.0 + 5.0 * hour + 150.0 * load).unwrap();
        let falls = floors.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(falls < 6, "{floors:?}");
        let growth = floors.last().unwrap() - floors.first().unwrap();
        assert!((growth / (5.0 * 59.0) - 1.0).abs() < 0.1, "{growth}");
    }

    #[test]
    fn half_a_day_of_falling_traffic_makes_no_line_of_a_cache_that_fills() {
        let filling = |hour: f64, _: f64| 200.0 + 400.0 * (1.0 - (-hour / 3.0).exp());
        assert_eq!(left(0.5, filling), None);
        // Nor does traffic that explains nothing.
        assert_eq!(left(2.5, |hour, _| 200.0 + 5.0 * hour), None);
    }

    #[test]
    fn memory_that_is_traffic_has_no_share_left() {
        let (hours, load, floor) = series(0.25, |_, load| 100.0 + 300.0 * load);
        let straight = line(&hours, &floor).unwrap();
        let adjustment = LoadAdjustment::of(&hours, &load, &floor, &straight);
        assert!(adjustment.share < 0.5, "{adjustment:?}");
    }
}
