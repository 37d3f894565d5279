//! What others do, re-implemented from their published rules: reads a series, produces the alarms each would raise.
//!
//! An alarm is counted when its condition begins to hold, not for as long as it does: the way an alert manager counts.

use observer_core::detect::State;

use observer_tests::catalogue::simulate::Series;

use super::judge::Statement;

const HOUR: f64 = 3_600.0;
/// Seconds between evaluations.
const EVERY: f64 = 600.0;

/// A rule of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Least squares in the longest tooth of the last hour, above 10 % an hour.
    Coroot,
    /// `predict_linear(memory[6h], 4 * 3600) > limit`, for 10 minutes.
    PredictLinear,
    /// Mann-Kendall over the last 6 h, 99 %.
    MannKendall,
    /// Linear backward regression (R2 >= 0.8, ceiling within 7 days) filtered by the trends of the first fifth of the
    /// history: only what is longer and steeper than any of them.
    PrecogMf,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Coroot, Self::PredictLinear, Self::MannKendall, Self::PrecogMf];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Coroot => "Coroot's rule",
            Self::PredictLinear => "predict_linear 6 h -> 4 h",
            Self::MannKendall => "Mann-Kendall, 6 h",
            Self::PrecogMf => "Precog-MF",
        }
    }

    /// What it says of a series.
    pub(crate) fn judge(self, series: &Series) -> Vec<Statement> {
        let points = minutes(series);
        let mut said = Vec::new();
        let (mut held, mut due) = (false, EVERY);
        let mut trained = (0.0f64, 0.0f64);
        let horizon = points.last().map_or(0.0, |point| point.0);
        for end in 0..points.len() {
            let now = points[end].0;
            if now < due {
                continue;
            }
            due = now + EVERY;
            let limit = points[end].2;
            let back = |seconds: f64| {
                let from = points[..=end].partition_point(|point| point.0 < now - seconds);
                &points[from..=end]
            };
            let holds = match self {
                Self::Coroot => longest_tooth(back(HOUR)).is_some_and(|tooth| {
                    let (slope, _) = fit(tooth);
                    let level = tooth.first().map_or(1.0, |point| point.1);
                    tooth.len() >= 10 && slope * HOUR > 0.1 * level
                }),
                Self::PredictLinear => {
                    let window = back(6.0 * HOUR);
                    let (slope, _) = fit(window);
                    let mean = window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64;
                    let middle = window.iter().map(|point| point.0).sum::<f64>() / window.len() as f64;
                    window.len() >= 2 && mean + slope * (now - middle + 4.0 * HOUR) > limit
                }
                Self::MannKendall => kendall(back(6.0 * HOUR)) > 2.576,
                Self::PrecogMf => {
                    let (slope, seconds) = backward(back(72.0 * HOUR));
                    if now < horizon * 0.2 {
                        trained = (trained.0.max(slope), trained.1.max(seconds));
                        false
                    } else {
                        let left = (limit - points[end].1) / slope.max(f64::MIN_POSITIVE);
                        slope > 0.0 && left < 7.0 * 24.0 * HOUR && seconds > trained.1 && slope > trained.0
                    }
                }
            };
            if holds && !held {
                said.push(Statement {
                    t: now,
                    state: State::Likely,
                    foretold: None,
                });
            }
            held = holds;
        }
        said
    }
}

/// (time, mean level, limit) of each minute: what a scrape each minute would hold.
fn minutes(series: &Series) -> Vec<(f64, f64, f64)> {
    let mut points: Vec<(f64, f64, f64)> = Vec::new();
    let mut count = 0.0;
    for row in &series.rows {
        let minute = (row.t / 60.0).floor() * 60.0;
        match points.last_mut() {
            Some(last) if last.0 == minute => {
                count += 1.0;
                last.1 += (row.anon - last.1) / count;
            }
            _ => {
                count = 1.0;
                points.push((minute, row.anon, row.limit));
            }
        }
    }
    points
}

/// The longest stretch without a fall of 10 %.
fn longest_tooth(points: &[(f64, f64, f64)]) -> Option<&[(f64, f64, f64)]> {
    let (mut from, mut best) = (0, 0..0);
    for i in 0..=points.len() {
        if i == points.len() || (i > 0 && points[i].1 < 0.9 * points[i - 1].1) {
            if i - from > best.len() {
                best = from..i;
            }
            from = i;
        }
    }
    points.get(best)
}

/// Slope (bytes per second) and R2 by least squares.
fn fit(points: &[(f64, f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let (mt, my) = points
        .iter()
        .fold((0.0, 0.0), |(t, y), point| (t + point.0 / n, y + point.1 / n));
    let (mut stt, mut sty, mut syy) = (0.0, 0.0, 0.0);
    for (t, y, _) in points {
        stt += (t - mt) * (t - mt);
        sty += (t - mt) * (y - my);
        syy += (y - my) * (y - my);
    }
    if stt > 0.0 && syy > 0.0 {
        (sty / stt, sty * sty / (stt * syy))
    } else {
        (0.0, 0.0)
    }
}

/// Mann-Kendall's Z over ten-minute means.
fn kendall(points: &[(f64, f64, f64)]) -> f64 {
    let means: Vec<f64> = points
        .chunks(10)
        .map(|chunk| chunk.iter().map(|point| point.1).sum::<f64>() / chunk.len() as f64)
        .collect();
    let n = means.len() as f64;
    if n < 10.0 {
        return 0.0;
    }
    let mut s = 0.0;
    for (i, a) in means.iter().enumerate() {
        for b in &means[i + 1..] {
            s += f64::from(i8::from(b > a) - i8::from(b < a));
        }
    }
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    (s - s.signum()) / deviation
}

/// The longest window that ends now and is a line with R2 of 0.8: its slope and its seconds.
fn backward(points: &[(f64, f64, f64)]) -> (f64, f64) {
    let mut best = (0.0, 0.0);
    let mut length = 30;
    while length <= points.len() {
        let window = &points[points.len() - length..];
        let (slope, r2) = fit(window);
        if slope > 0.0 && r2 >= 0.8 {
            best = (slope, length as f64 * 60.0);
        }
        length = length * 3 / 2;
    }
    best
}
