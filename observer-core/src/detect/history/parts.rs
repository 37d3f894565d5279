//! Where a run grew: reads growth counters or the parts of memory.stat, produces shares with their confidence.

use observer_common::growth::{PLACES, Place};
use serde::{Deserialize, Serialize};

use super::point::Point;
use crate::finding::{Attribution, Confidence, Shares};

/// Share of the growth beyond which what is left needs no explanation.
const NEARLY_ALL: f64 = 0.9;

/// The parts of a level that attribution compares, as they were early in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    trend: u64,
    file: u64,
    shmem: u64,
    slab: u64,
    #[serde(default, rename = "beside")]
    other_processes: u64,
    growth: Option<[i64; PLACES]>,
}

impl Parts {
    /// Of a point.
    pub const fn of(point: &Point) -> Self {
        Self {
            trend: point.trend,
            file: point.file,
            shmem: point.shmem,
            slab: point.slab,
            other_processes: point.other_processes,
            growth: point.growth,
        }
    }

    /// Bytes by which shared, kernel and other processes' memory grew from `self` to `now`, and by which all of it did.
    pub(in crate::detect) const fn grown_elsewhere(&self, now: &Point) -> (u64, u64) {
        let elsewhere = now
            .shmem
            .saturating_sub(self.shmem)
            .saturating_add(now.slab.saturating_sub(self.slab))
            .saturating_add(now.other_processes.saturating_sub(self.other_processes));
        (elsewhere, now.trend.saturating_sub(self.trend))
    }

    /// Whether growth by place was counted by then.
    pub const fn traced(&self) -> bool {
        self.growth.is_some()
    }

    /// Attributes the growth from `self` to `now`; `None` where nothing grew.
    pub fn attribute(&self, now: &Point) -> Option<Attribution> {
        let grown = |then: u64, now: u64| now.saturating_sub(then) as f64;
        let trend = grown(self.trend, now.trend);
        let file = grown(self.file, now.file);
        let total = trend + file;
        if total <= 0.0 {
            return None;
        }
        // What memory.stat itself calls shared memory is nobody's allocation: the counted calls explain the rest.
        let shmem = grown(self.shmem, now.shmem).min(trend);
        let private = trend - shmem;
        if let (Some(then), Some(counted)) = (self.growth, now.growth) {
            let by: [f64; PLACES] = core::array::from_fn(|i| counted[i].saturating_sub(then[i]).max(0) as f64);
            let anonymous = by[Place::V8Heap as usize] + by[Place::Malloc as usize] + by[Place::LargeBuffer as usize];
            // Mappings that were never touched, or that were released by other means, make the sums useless.
            if anonymous > 0.5 * private && anonymous < 2.0 * private {
                let of_trend = |place: Place| by[place as usize] / anonymous * private / total;
                return Some(Attribution {
                    shares: Shares {
                        v8_heap: of_trend(Place::V8Heap),
                        malloc: of_trend(Place::Malloc),
                        large_buffer: of_trend(Place::LargeBuffer),
                        file: file / total,
                        shmem: shmem / total,
                        other: 0.0,
                    },
                    confidence: Confidence::Observed,
                    bytes: total as u64,
                });
            }
        }
        // memory.stat knows files, shared and kernel memory; anonymous memory may be any of the other three. Where files,
        // on disk or in memory, are nearly all of it, that is a count and no conclusion.
        let counted = file + shmem >= NEARLY_ALL * total;
        Some(Attribution {
            shares: Shares {
                file: file / total,
                shmem: shmem / total,
                other: private / total,
                ..Shares::default()
            },
            confidence: if counted {
                Confidence::Observed
            } else {
                Confidence::Inferred
            },
            bytes: total as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn point(trend: u64, growth: Option<[i64; 5]>) -> Point {
        Point {
            trend: trend * MB,
            growth: growth.map(|by| by.map(|bytes| bytes << 20)),
            ..Point::default()
        }
    }

    #[test]
    fn counters_that_agree_with_the_growth_are_believed() {
        let parts = Parts::of(&point(100, Some([10, 5, 0, 0, 0])));
        let found = parts.attribute(&point(400, Some([290, 30, 0, 0, 0]))).unwrap();
        assert_eq!(found.confidence, Confidence::Observed);
        assert_eq!(found.largest().0, "v8_heap");
        assert!((found.shares.v8_heap + found.shares.malloc - 1.0).abs() < 1e-9);
    }

    #[test]
    fn counters_at_the_ends_of_their_range_are_survived() {
        for (then, now) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MIN, 0)] {
            let of = |trend: u64, bytes: i64| Point {
                growth: Some([bytes; 5]),
                ..point(trend, None)
            };
            let found = Parts::of(&of(100, then)).attribute(&of(400, now)).unwrap();
            assert!(found.largest().1.is_finite(), "{found:?}");
        }
    }

    /// Files written to a tmpfs: the level climbs, no process does.
    #[test]
    fn files_in_memory_are_told_from_what_processes_hold() {
        let then = Point {
            trend: 40 * MB,
            ..Point::default()
        };
        let now = Point {
            trend: 240 * MB,
            shmem: 196 * MB,
            file: MB,
            ..then
        };
        let found = Parts::of(&then).attribute(&now).unwrap();
        let (place, share) = found.largest();
        assert_eq!((place, found.confidence), ("shmem", Confidence::Observed));
        assert!(share > 0.95, "{found:?}");
        // A heap that grows beside it keeps its part: the counted calls are held against what is left.
        let traced = |point: Point, heap: i64| Point {
            growth: Some([heap << 20, 0, 0, 0, 0]),
            ..point
        };
        let both = Point {
            trend: 340 * MB,
            shmem: 100 * MB,
            ..then
        };
        let found = Parts::of(&traced(then, 0)).attribute(&traced(both, 190)).unwrap();
        assert_eq!(found.confidence, Confidence::Observed);
        assert!((found.shares.v8_heap - 200.0 / 300.0).abs() < 1e-9, "{found:?}");
        assert!((found.shares.shmem - 100.0 / 300.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn counters_that_do_not_are_not() {
        // 1 MiB buffers that were never touched: 558 MB asked for, 6 MB grown.
        let parts = Parts::of(&point(100, Some([0; 5])));
        let found = parts.attribute(&point(106, Some([0, 0, 558, 0, 0]))).unwrap();
        assert_eq!((found.confidence, found.largest().0), (Confidence::Inferred, "other"));
        assert_eq!(parts.attribute(&point(90, None)), None);
    }
}
