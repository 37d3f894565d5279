//! A stretch of a run as the gates see it: reads buckets, produces points of (hours, floor, load, work).

use super::{
    ring::{Bucket, Ring},
    span::Span,
};
use crate::detect::statistics::{fewest_that_hold, mean};

/// Fewest points that say anything.
pub const MIN_POINTS: usize = 12;

const NS_PER_HOUR: f64 = 3_600e9;

/// A stretch of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Hours since the run's start, rising.
    pub hours: Vec<f64>,
    /// Floor, bytes.
    pub floor: Vec<f64>,
    /// CPU seconds since the run's start by then; empty where the load is not known throughout.
    pub work: Vec<f64>,
    /// Nanoseconds after the run's start at which the window begins.
    pub from_ns: u64,
}

impl Window {
    /// The closed buckets of a ring that begin at or after `skip_ns`.
    pub fn of_ring(ring: &Ring, skip_ns: u64) -> Self {
        let width = ring.width_ns();
        Self::of(
            ring.closed()
                .filter(|(number, _)| number.saturating_mul(width) >= skip_ns),
            width,
        )
    }

    /// A run's whole life after `skip_ns`, without the newest, incomplete bucket.
    pub fn of_span(span: &Span, skip_ns: u64) -> Self {
        let width = span.width_ns();
        let mut all: Vec<(u64, Bucket)> = span
            .buckets()
            .map(|(number, wide)| (number, wide.low))
            .filter(|(number, _)| number.saturating_mul(width) >= skip_ns)
            .collect();
        all.pop();
        Self::of(all.into_iter(), width)
    }

    fn of(buckets: impl Iterator<Item = (u64, Bucket)>, width_ns: u64) -> Self {
        let mut window = Self::default();
        let mut known = true;
        for (number, bucket) in buckets {
            if window.hours.is_empty() {
                window.from_ns = number.saturating_mul(width_ns);
            }
            window.hours.push((number as f64 + 0.5) * width_ns as f64 / NS_PER_HOUR);
            window.floor.push(bucket.floor());
            window.work.push(f64::from(bucket.work));
            known &= bucket.work >= 0.0;
        }
        if !known {
            window.work.clear();
        }
        window
    }

    /// Number of points.
    pub const fn len(&self) -> usize {
        self.hours.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// Hours from the first to the last point.
    pub fn hours_spanned(&self) -> f64 {
        match (self.hours.first(), self.hours.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0.0,
        }
    }

    /// Mean floor of the last few points: the floor now.
    pub fn floor_now(&self) -> f64 {
        let tail = self.floor.len().saturating_sub(2);
        mean(self.floor.get(tail..).unwrap_or_default())
    }

    /// When, in hours since the run's start, the floor was where [`Window::floor_now`] says: a rising bucket is lowest where
    /// it begins, and two are averaged.
    pub fn floor_at(&self) -> f64 {
        match self.hours.as_slice() {
            [.., before, last] => before.midpoint(*last) - 0.5 * (last - before),
            [only] => *only,
            [] => 0.0,
        }
    }

    /// The lowest floor of each of `blocks` stretches of equal duration; a stretch with no point is left out.
    pub fn block_minima(&self, blocks: usize) -> Vec<f64> {
        self.minima_of(&self.floor, blocks)
    }

    /// The same of other levels at the window's points.
    pub fn minima_of(&self, levels: &[f64], blocks: usize) -> Vec<f64> {
        let mut minima = Vec::with_capacity(blocks);
        let (Some(first), span) = (self.hours.first(), self.hours_spanned()) else {
            return minima;
        };
        let mut current = None;
        for (hour, floor) in self.hours.iter().zip(levels) {
            let block = (((hour - first) / span.max(f64::MIN_POSITIVE) * blocks as f64) as usize).min(blocks - 1);
            if current == Some(block) {
                if let Some(last) = minima.last_mut() {
                    *last = floor.min(*last);
                }
            } else {
                minima.push(*floor);
                current = Some(block);
            }
        }
        minima
    }

    /// How few steps between neighbouring points hold `share` of the growth that was never given back: a staircase of few
    /// steps, or a climb.
    pub fn steps_that_hold(&self, share: f64) -> usize {
        let mut steps = Vec::with_capacity(self.floor.len());
        let mut kept = f64::INFINITY;
        for floor in self.floor.iter().rev() {
            if kept.is_finite() {
                steps.push((kept - floor).max(0.0));
            }
            kept = kept.min(*floor);
        }
        fewest_that_hold(&mut steps, share)
    }

    /// Mean load (CPU seconds a second) around each point; empty where it is not known.
    pub fn load(&self) -> Vec<f64> {
        let n = self.work.len();
        if n < 3 {
            return Vec::new();
        }
        let rate = |i: usize, j: usize| {
            let seconds = (self.hours[j] - self.hours[i]) * 3_600.0;
            if seconds > 0.0 {
                (self.work[j] - self.work[i]).max(0.0) / seconds
            } else {
                0.0
            }
        };
        let mut load: Vec<f64> = (1..n).map(|i| rate(i - 1, i)).collect();
        load.insert(0, rate(0, 1));
        load
    }

    /// Work in hours at the window's mean load: an axis on which a leak per request is a straight line.
    pub fn work_hours(&self) -> Option<Vec<f64>> {
        let (first, last) = (self.work.first()?, self.work.last()?);
        let done = last - first;
        let start = self.hours.first()?;
        if done <= 0.0 {
            return None;
        }
        let unit = self.hours_spanned() / done;
        Some(self.work.iter().map(|work| start + (work - first) * unit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_per_request_is_straight_on_the_axis_of_work() {
        let mut ring = Ring::new(120_000_000_000);
        let mut work = 0.0f64;
        for minute in 0..97u64 {
            let load = 1.0 + 0.6 * (minute as f64 / 10.0).sin();
            ring.take(minute * 60_000_000_000, 100_000 + (work * 10.0) as u32, work as f32);
            work += load * 60.0;
        }
        let window = Window::of_ring(&ring, 0);
        assert_eq!(window.len(), 47);
        let axis = window.work_hours().unwrap();
        let plain = crate::detect::statistics::line(&window.hours, &window.floor).unwrap();
        let by_work = crate::detect::statistics::line(&axis, &window.floor).unwrap();
        assert!(by_work.rss < plain.rss / 20.0);
    }

    #[test]
    fn a_staircase_has_few_steps_and_a_climb_many() {
        let of = |level: &dyn Fn(u32) -> f64| {
            let floor: Vec<f64> = (0..48).map(level).collect();
            let hours = (0..48).map(f64::from).collect();
            Window {
                hours,
                floor,
                ..Window::default()
            }
        };
        assert!(of(&|i| 100.0 + 50.0 * f64::from(i / 12) + f64::from(i * 7 % 3)).steps_that_hold(0.7) <= 3);
        assert!(of(&|i| 100.0 + 4.0 * f64::from(i) + f64::from(i * 7 % 3)).steps_that_hold(0.7) > 10);
        let rising = of(&|i| f64::from(i));
        // The last two buckets begin at 45.5 and 46.5.
        assert!((rising.floor_at() - 46.0).abs() < 1e-9);
        assert_eq!(Window::default().floor_at(), 0.0);
    }
}
