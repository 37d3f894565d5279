//! When heaps are read, and which readings are compared: after a warm-up, at moments that no wave meets at one phase.

use observer_heap::MOMENTS;

/// The first part of the time, or of the rounds, in which a program warms up.
const WARM_UP: f64 = 0.25;
/// Of a process's life the last part that nothing is said of unless it was read: what fills may have become full.
const LAST: f64 = 1.0 / 3.0;
/// Readings that are compared, at least.
pub(super) const FEWEST: usize = 5;
/// Readings kept; beyond it every other one is left out, and from there on.
pub(super) const MOST: usize = 24;

/// What a judgement goes over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Over {
    /// Seconds.
    Time(f64),
    /// Rounds of the same work.
    Rounds(u64),
}

/// When a reading was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    /// Seconds after the process was first seen.
    pub(super) at: f64,
    /// Rounds announced by then.
    pub(super) round: u64,
}

impl Over {
    /// Where a reading stands, in seconds or rounds.
    pub(super) fn position(self, taken: &Taken) -> f64 {
        match self {
            Self::Time(_) => taken.at,
            Self::Rounds(_) => taken.round as f64,
        }
    }

    fn asked(self) -> f64 {
        match self {
            Self::Time(seconds) => seconds,
            Self::Rounds(rounds) => rounds as f64,
        }
    }

    /// Whether a reading is to be compared with those before: comparing costs more than reading, so a tenth of what was
    /// asked for lies between two, and the last is compared always.
    pub(super) fn compares(self, now: &Taken, before: Option<&Taken>) -> bool {
        let now = self.position(now);
        now >= self.asked() || before.is_none_or(|before| now - self.position(before) >= self.asked() / 10.0)
    }

    /// Whether the last reading that was compared came late enough to speak for the end of a process that lived for so many seconds.
    /// Rounds end with one.
    pub(super) fn reaches_end(self, last: &Taken, lived: f64) -> bool {
        match self {
            Self::Time(_) => lived - last.at <= lived * LAST,
            Self::Rounds(_) => true,
        }
    }

    /// The readings that are compared, in order; none where there are too few, or half of what was asked for is not over.
    pub(super) fn chosen(self, taken: &[Taken]) -> Vec<usize> {
        let end = taken.last().map_or(0.0, |last| self.position(last));
        let start = match self {
            Self::Time(_) => end * WARM_UP,
            // The first round is never compared.
            Self::Rounds(_) => (end * WARM_UP).max(1.0),
        };
        let mut chosen: Vec<usize> = Vec::new();
        for moment in MOMENTS {
            let wanted = start + (end - start) * moment;
            let distance = |taken: &Taken| (self.position(taken) - wanted).abs();
            let nearest = taken
                .iter()
                .enumerate()
                .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
            if let Some((nearest, _)) = nearest
                && chosen.last().is_none_or(|last| *last < nearest)
            {
                chosen.push(nearest);
            }
        }
        if chosen.len() < FEWEST || end * 2.0 < self.asked() {
            return Vec::new();
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(seconds: f64, count: u32) -> Vec<Taken> {
        (0..count)
            .map(|nth| Taken {
                at: f64::from(nth) * seconds,
                round: u64::from(nth),
            })
            .collect()
    }

    #[test]
    fn the_warm_up_is_left_out_and_the_distances_differ() {
        let chosen = Over::Time(60.0).chosen(&every(2.5, 25));
        assert_eq!(chosen, [6, 7, 10, 15, 17, 19, 24]);
    }

    #[test]
    fn the_last_third_of_a_life_must_be_read() {
        let last = Taken { at: 40.0, round: 0 };
        assert!(Over::Time(60.0).reaches_end(&last, 60.0));
        assert!(!Over::Time(60.0).reaches_end(&last, 61.0));
        assert!(Over::Rounds(60).reaches_end(&last, 1_000.0));
    }

    #[test]
    fn five_rounds_are_the_fewest() {
        assert_eq!(Over::Rounds(5).chosen(&every(1.0, 6)), [1, 2, 3, 4, 5]);
        assert!(Over::Rounds(4).chosen(&every(1.0, 5)).is_empty());
        assert_eq!(Over::Rounds(20).chosen(&every(1.0, 21)), [5, 6, 9, 12, 14, 16, 20]);
    }

    #[test]
    fn what_ends_early_is_judged_from_half_of_the_time_on() {
        assert!(Over::Time(60.0).chosen(&every(2.5, 12)).is_empty());
        assert!(!Over::Time(60.0).chosen(&every(2.5, 13)).is_empty());
        assert!(Over::Time(60.0).chosen(&[]).is_empty());
    }
}
