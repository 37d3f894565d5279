//! Pace: reads the floors of the run in progress, produces a slope and its standard error whether or not growth holds.
//!
//! A verdict needs every gate; a fleet does not. Fifty replicas that each rise a little, none of them by enough, are
//! strong evidence together, if each tells how fast it rises *and how well it knows that*. So this is an estimate to be
//! pooled by inverse variance, not a verdict: least squares over the last four days (the whole run while it is younger),
//! beside the load where the load explains much.
//!
//! The standard error takes the residuals' autocorrelation into account, by (1 + rho) / (1 - rho) with rho corrected for
//! its bias of -(2 + 4 rho) / n beside a fitted line (van Giersbergen 2005; for a mean Marriott and Pope 1954): without the
//! correction short windows look surer than they are, and pooling would add that up.

use serde::{Deserialize, Serialize};

use super::load::lagged;
use crate::detect::{
    config::DetectConfig,
    history::{ring::BUCKETS, run::Run, window::Window},
    statistics::{self, line, mean, plane},
};

/// Fewest points an estimate is made of.
const FEWEST: usize = 24;
/// Points by which memory may follow the load.
const LAGS: [f64; 3] = [0.0, 2.0, 6.0];
/// A load that leaves more than this share of what time alone leaves is left out.
const EXPLAINS: f64 = 0.7;
/// A load that varies less than this share of its mean explains nothing.
const LEAST_SPREAD: f64 = 0.05;
/// Noise of a floor is at least this share of it: an idle process repeats itself to the page, and would outweigh all
/// other replicas together.
const LEAST_NOISE: f64 = 1.0 / 1_024.0;
/// Largest autocorrelation an estimate is made with: beyond it there is one observation, not many.
const MOST_RHO: f64 = 0.98;

/// How fast a run's floor rises or falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Slope of the floor, bytes per hour.
    pub slope: f64,
    /// Standard error of the slope.
    pub standard_error: f64,
    /// Slope of the last third alone, bytes per hour: far below the whole's where growth levels off.
    pub late: f64,
    /// The floor now, bytes.
    pub floor: f64,
    /// Hours of history it stands on.
    pub hours: f64,
}

/// Slope of a run with its standard error, as soon as there are points enough.
pub(in crate::detect) fn pace(run: &Run, config: &DetectConfig) -> Option<Pace> {
    let age = run.age();
    windows(run, age, Run::warm_up(age, config))
        .find(|window| window.len() >= FEWEST)
        .and_then(|window| of(&window))
}

/// The stretches that may be looked at, the longest first. A run that was found when it was old has a long span of few
/// buckets: then a ring knows more.
fn windows(run: &Run, age: u64, skip: u64) -> impl Iterator<Item = Window> + '_ {
    let [minutes, hours, days] = &run.rings;
    let remembered = days.width_ns().saturating_mul(BUCKETS as u64);
    let whole = (age < remembered).then(|| Window::of_span(&run.span, skip));
    let rings = [days, hours, minutes]
        .into_iter()
        .map(move |ring| Window::of_ring(ring, skip));
    whole.into_iter().chain(rings)
}

/// The estimate of one window.
fn of(window: &Window) -> Option<Pace> {
    let x = &window.hours;
    let straight = line(x, &window.floor)?;
    let explained = load_part(window, straight.rss);
    let moved: Vec<f64> = match &explained {
        Some((coefficient, load)) => {
            let usual = mean(load);
            let part = load.iter().map(|load| coefficient * (load - usual));
            window
                .floor
                .iter()
                .zip(part)
                .map(|(floor, part)| floor - part)
                .collect()
        }
        None => window.floor.clone(),
    };
    let fit = line(x, &moved)?;
    let n = x.len() as f64;
    // The load that was fitted beside it costs a degree of freedom, and whatever of it cannot be told from time.
    let (parameters, told_apart) = match &explained {
        Some((_, load)) => {
            let r = statistics::correlation(x, load);
            (3.0, 1.0 - r * r)
        }
        None => (2.0, 1.0),
    };
    let middle = mean(x);
    let spread: f64 = x.iter().map(|x| (x - middle) * (x - middle)).sum();
    let least = (LEAST_NOISE * mean(&window.floor)).powi(2);
    let rho = ((n * fit.rho + 2.0) / (n - 4.0)).clamp(0.0, MOST_RHO);
    let inflation = (1.0 + rho) / (1.0 - rho);
    // A line follows slow noise: each of its parameters takes as many points with it as count for one.
    let noise = (fit.rss / (n - parameters * inflation).max(2.0)).max(least);
    let variance = noise * inflation / spread / told_apart.max(f64::EPSILON);
    let third = x.len() - x.len() / 3;
    let late = line(x.get(third..)?, moved.get(third..)?)?;
    Some(Pace {
        slope: fit.slope,
        standard_error: variance.sqrt(),
        late: late.slope,
        floor: window.floor_now(),
        hours: window.hours_spanned(),
    })
}

/// Bytes per unit of load, and the load, where it explains much of what time does not.
fn load_part(window: &Window, alone: f64) -> Option<(f64, Vec<f64>)> {
    let load = window.load();
    let usual = mean(&load);
    let variance = load.iter().map(|load| (load - usual) * (load - usual)).sum::<f64>() / load.len().max(1) as f64;
    if load.len() != window.len() || variance.sqrt() < LEAST_SPREAD * usual {
        return None;
    }
    let fits = LAGS.into_iter().filter_map(|lag| {
        let load = lagged(&load, lag);
        let fit = plane(&window.hours, &load, &window.floor)?;
        (fit.load > 0.0 && fit.rss < EXPLAINS * alone).then_some((fit, load))
    });
    fits.min_by(|(a, _), (b, _)| a.rss.total_cmp(&b.rss))
        .map(|(fit, load)| (fit.load, load))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: f64 = 1_048_576.0;

    /// Uniform noise in -1..1 that a seed decides (splitmix64).
    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        }
    }

    fn window(points: usize, floor: impl Fn(f64) -> f64, load: impl Fn(f64) -> f64) -> Window {
        let hours: Vec<f64> = (0..points).map(|i| i as f64 * 0.5).collect();
        let mut work = vec![0.0];
        work.extend(hours.windows(2).scan(0.0, |done, pair| {
            *done += load(pair[1]) * (pair[1] - pair[0]) * 3_600.0;
            Some(*done)
        }));
        Window {
            floor: hours.iter().map(|hour| floor(*hour)).collect(),
            hours,
            work,
            from_ns: 0,
        }
    }

    /// Out of 400 series of autocorrelated noise about as many lie beyond 1.96 standard errors as should: pooling adds
    /// up whatever is wrong here.
    #[test]
    fn the_standard_error_holds_for_autocorrelated_noise() {
        for rho in [0.0, 0.5, 0.8] {
            let mut outside = 0;
            let mut squares = 0.0;
            for seed in 0..400 {
                let mut next = noise(seed + 1_000 * (rho * 10.0) as u64);
                let mut level = 0.0;
                let mut window = window(60, |hour| hour.mul_add(2.0 * MB, 200.0 * MB), |_| 1.0);
                for floor in &mut window.floor {
                    level = rho * level + next() * 3.0 * MB;
                    *floor += level;
                }
                let pace = of(&window).unwrap();
                let z = (pace.slope - 2.0 * MB) / pace.standard_error;
                outside += u32::from(z.abs() > 1.96);
                squares += z * z / 400.0;
            }
            assert!(
                (4..=40).contains(&outside),
                "rho {rho}: {outside} of 400 outside, mean square {squares:.2}"
            );
            assert!(
                (0.5..1.4).contains(&squares),
                "rho {rho}: mean square of z is {squares:.2}"
            );
        }
    }

    #[test]
    fn what_traffic_moves_is_no_slope() {
        // A morning: traffic doubles, and memory follows it.
        let load = |hour: f64| 1.0 + (hour / 30.0).powi(2);
        let traffic = window(60, |hour| (200.0 + 40.0 * load(hour)) * MB, load);
        let pace = of(&traffic).unwrap();
        assert!(pace.slope.abs() < 2.0 * pace.standard_error, "{pace:?}");
        let leak = window(60, |hour| (200.0 + 40.0 * load(hour) + 3.0 * hour) * MB, load);
        let pace = of(&leak).unwrap();
        assert!((pace.slope / MB - 3.0).abs() < 0.3, "{pace:?}");
    }

    #[test]
    fn growth_that_levels_off_is_slow_late() {
        let filling = of(&window(60, |hour| (400.0 - 200.0 * (-hour / 6.0).exp()) * MB, |_| 1.0)).unwrap();
        assert!(filling.slope > 0.0 && filling.late < 0.3 * filling.slope, "{filling:?}");
        let leaking = of(&window(60, |hour| (200.0 + hour) * MB, |_| 1.0)).unwrap();
        assert!((leaking.late / leaking.slope - 1.0).abs() < 1e-6, "{leaking:?}");
        assert!(
            leaking.standard_error > 0.0,
            "an exact line is not known exactly: {leaking:?}"
        );
    }
}
