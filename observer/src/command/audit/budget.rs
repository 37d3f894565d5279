//! How much is asked at once: reads what a server took and refused, produces the size of the next piece.

use std::sync::{Mutex, PoisonError};

/// Points of a series that Prometheus answers at most.
const POINTS: u64 = 11_000;
/// Samples of an answer at most: some 10 MB of JSON.
const SAMPLES: u64 = 300_000;
/// Points of a series at least: smaller pieces are not asked for.
const FEWEST: u64 = 8;
/// Answers in a row after which a little more is tried again.
const PATIENCE: u32 = 64;

/// What the server seems to stand. Shared by all who ask it.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Limits>);

#[derive(Debug)]
struct Limits {
    points: u64,
    samples: u64,
    answered: u32,
    refused: u64,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Limits {
            points: POINTS,
            samples: SAMPLES,
            answered: 0,
            refused: 0,
        }))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Limits) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Points of each of so many series to ask for.
    pub(super) fn points(&self, series: u64) -> u64 {
        self.with(|limits| limits.points.min(limits.samples / series.max(1)).max(FEWEST))
    }

    /// So many points of so many series were answered.
    pub(super) fn answered(&self) {
        self.with(|limits| {
            limits.answered += 1;
            if limits.answered >= PATIENCE {
                limits.answered = 0;
                limits.points = (limits.points + limits.points / 4).min(POINTS);
                limits.samples = (limits.samples + limits.samples / 4).min(SAMPLES);
            }
        });
    }

    /// They were not: the next pieces are half as large. Whether there is a smaller one.
    pub(super) fn refused(&self, points: u64, series: u64) -> bool {
        self.with(|limits| {
            limits.answered = 0;
            limits.refused += 1;
            let half = (points / 2).max(FEWEST);
            limits.points = limits.points.min(half);
            limits.samples = limits.samples.min((half * series.max(1)).max(FEWEST));
        });
        points > FEWEST
    }

    /// How often something was refused.
    pub(super) fn refusals(&self) -> u64 {
        self.with(|limits| limits.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_to_what_is_answered_and_grow_again() {
        let budget = Budget::new();
        assert_eq!(budget.points(1), POINTS);
        assert_eq!(budget.points(300), 1_000);
        assert!(budget.refused(1_000, 300));
        assert_eq!((budget.points(300), budget.points(10)), (500, 500));
        let mut points = 500;
        while budget.refused(points, 300) {
            points = budget.points(300);
        }
        assert_eq!(points, FEWEST);
        for _ in 0..PATIENCE {
            budget.answered();
        }
        assert_eq!(budget.points(1), FEWEST + FEWEST / 4);
        assert_eq!(budget.refusals(), 8);
    }
}
