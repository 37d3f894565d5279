//! The whole life of a run in a fixed number of buckets: reads levels, and doubles the buckets' width when full.
//!
//! The rings look at the last hours and days; this looks at all of it, whether a run lives 20 seconds or two weeks,
//! and is what remains of a run when it ends.

use serde::{Deserialize, Serialize};

use super::ring::Bucket;

/// Buckets a span holds.
pub const BUCKETS: usize = 64;

/// A bucket of a span: a ring's, and the highest level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wide {
    /// Floor and work.
    pub low: Bucket,
    /// Highest level seen, KiB; 0 where nothing was seen.
    pub max: u32,
}

impl Wide {
    const EMPTY: Self = Self {
        low: Bucket::EMPTY,
        max: 0,
    };

    fn merge(first: Self, second: Self) -> Self {
        Self {
            low: Bucket {
                min: first.low.min.min(second.low.min),
                work: if second.low.work >= 0.0 {
                    second.low.work
                } else {
                    first.low.work
                },
            },
            max: first.max.max(second.max),
        }
    }
}

/// A run from its start, in at most [`BUCKETS`] buckets of equal width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    width_ns: u64,
    buckets: Vec<Wide>,
}

impl Span {
    /// An empty span whose buckets start at `width_ns`.
    pub const fn new(width_ns: u64) -> Self {
        Self {
            width_ns: if width_ns == 0 { 1 } else { width_ns },
            buckets: Vec::new(),
        }
    }

    /// Width of a bucket now, nanoseconds.
    pub const fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// Bytes its buckets take.
    pub const fn footprint(&self) -> usize {
        self.buckets.capacity() * size_of::<Wide>()
    }

    /// Takes a level `age_ns` after the run's start.
    pub fn take(&mut self, age_ns: u64, level: u32, work: f32) {
        while age_ns / self.width_ns >= BUCKETS as u64 {
            self.double();
        }
        let number = (age_ns / self.width_ns) as usize;
        if self.buckets.is_empty() {
            self.buckets.reserve_exact(BUCKETS);
        }
        if number >= self.buckets.len() {
            self.buckets.resize(number + 1, Wide::EMPTY);
        }
        if let Some(bucket) = self.buckets.get_mut(number) {
            bucket.low.take(level, work);
            bucket.max = bucket.max.max(level);
        }
    }

    fn double(&mut self) {
        self.width_ns = self.width_ns.saturating_mul(2);
        let merged = self.buckets.len().div_ceil(2);
        for number in 0..merged {
            let first = self.buckets.get(2 * number).copied().unwrap_or(Wide::EMPTY);
            let second = self.buckets.get(2 * number + 1).copied().unwrap_or(Wide::EMPTY);
            if let Some(bucket) = self.buckets.get_mut(number) {
                *bucket = Wide::merge(first, second);
            }
        }
        self.buckets.truncate(merged);
    }

    /// The buckets in which something was seen, each with its number; the newest may be incomplete.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = (u64, Wide)> + '_ {
        self.buckets
            .iter()
            .enumerate()
            .filter(|(_, bucket)| !bucket.low.is_empty())
            .map(|(number, bucket)| (number as u64, *bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_keeps_floor_and_high() {
        let mut span = Span::new(1);
        for age in 0..10_000u64 {
            span.take(age, 100 + age as u32, -1.0);
        }
        assert_eq!(span.width_ns(), 256);
        let all: Vec<_> = span.buckets().collect();
        assert_eq!(all.len(), 40);
        assert_eq!((all[0].1.low.min, all[0].1.max), (100, 355));
        assert_eq!(all[39].1.max, 10_099);
    }
}
