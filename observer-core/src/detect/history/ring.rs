//! A ring of buckets of one width: reads levels as they come, keeps each bucket's floor and the work done by its end.

use serde::{Deserialize, Serialize};

/// Buckets a ring holds.
pub const BUCKETS: usize = 48;

/// Bytes in the unit levels are kept in. 32 bits of KiB reach 4 TiB.
pub const UNIT: u64 = 1024;

/// What a bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Lowest level seen: the floor after garbage collection, KiB. [`Bucket::EMPTY`]'s where nothing was seen.
    pub min: u32,
    /// CPU seconds since the run's start, at the last sample of the bucket; negative where unknown.
    pub work: f32,
}

impl Bucket {
    /// Nothing seen.
    pub const EMPTY: Self = Self {
        min: u32::MAX,
        work: -1.0,
    };

    /// Whether nothing was seen.
    pub const fn is_empty(&self) -> bool {
        self.min == u32::MAX
    }

    /// The floor, bytes.
    pub fn floor(&self) -> f64 {
        f64::from(self.min) * UNIT as f64
    }

    /// Takes a level in; `later` is the work by then.
    pub fn take(&mut self, level: u32, work: f32) {
        self.min = self.min.min(level);
        if work >= 0.0 {
            self.work = work;
        }
    }
}

/// Bytes as a bucket keeps them.
pub fn to_unit(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX - 1).min(u32::MAX - 1)
}

/// The last [`BUCKETS`] buckets of one width of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    width_ns: u64,
    /// Number of the newest bucket, counted from the run's start.
    newest: u64,
    /// The buckets; bucket `n` is at `n % BUCKETS`.
    buckets: Vec<Bucket>,
}

impl Ring {
    /// An empty ring.
    pub fn new(width_ns: u64) -> Self {
        Self {
            width_ns: width_ns.max(1),
            newest: 0,
            buckets: Vec::new(),
        }
    }

    /// Width of a bucket, nanoseconds.
    pub const fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// Bytes its buckets take.
    pub const fn footprint(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Takes a level `age_ns` after the run's start; returns the number of buckets that closed by it.
    pub fn take(&mut self, age_ns: u64, level: u32, work: f32) -> u64 {
        let number = age_ns / self.width_ns;
        if self.buckets.is_empty() {
            // A run seen from its middle (the agent started later) has no buckets before its first sample.
            self.newest = number;
            self.buckets.reserve_exact(BUCKETS);
            self.buckets.push(Bucket::EMPTY);
            if number > 0 {
                self.buckets.resize(BUCKETS.min(number as usize + 1), Bucket::EMPTY);
            }
        }
        let closed = number.saturating_sub(self.newest);
        if closed >= BUCKETS as u64 {
            self.buckets.clear();
            self.buckets.resize(BUCKETS, Bucket::EMPTY);
        } else {
            for missing in self.newest + 1..=number {
                let at = (missing % BUCKETS as u64) as usize;
                if at < self.buckets.len() {
                    self.buckets[at] = Bucket::EMPTY;
                } else {
                    self.buckets.push(Bucket::EMPTY);
                }
            }
        }
        self.newest = self.newest.max(number);
        let at = (number % BUCKETS as u64) as usize;
        if let Some(bucket) = self.buckets.get_mut(at) {
            bucket.take(level, work);
        }
        closed
    }

    /// The closed buckets, oldest first, each with its number.
    pub fn closed(&self) -> impl Iterator<Item = (u64, Bucket)> + '_ {
        let count = self.buckets.len() as u64;
        let first = (self.newest + 1).saturating_sub(count);
        (first..self.newest).filter_map(move |number| {
            let bucket = *self.buckets.get((number % BUCKETS as u64) as usize)?;
            (!bucket.is_empty()).then_some((number, bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_buckets_and_their_floors() {
        let mut ring = Ring::new(10);
        for age in 0..2_000u64 {
            ring.take(age, 1_000 + (age % 10) as u32 + (age / 10) as u32, -1.0);
        }
        let closed: Vec<_> = ring.closed().collect();
        assert_eq!(closed.len(), BUCKETS - 1);
        assert_eq!(
            closed.first().map(|(n, b)| (*n, b.min)),
            Some((200 - BUCKETS as u64, 1_200 - BUCKETS as u32))
        );
        assert_eq!(closed.last().map(|(n, b)| (*n, b.min)), Some((198, 1_198)));
    }

    #[test]
    fn a_gap_leaves_buckets_empty_and_a_long_one_all_of_them() {
        let mut ring = Ring::new(10);
        ring.take(0, 5, -1.0);
        ring.take(35, 7, -1.0);
        assert_eq!(ring.closed().map(|(n, _)| n).collect::<Vec<_>>(), vec![0]);
        assert_eq!(ring.take(35 + 10 * 500, 9, -1.0), 500);
        assert_eq!(ring.closed().count(), 0);
    }

    #[test]
    fn a_run_seen_from_its_middle() {
        let mut ring = Ring::new(10);
        ring.take(1_000_003, 5, -1.0);
        ring.take(1_000_013, 6, -1.0);
        assert_eq!(ring.closed().map(|(_, b)| b.min).collect::<Vec<_>>(), vec![5]);
    }
}
