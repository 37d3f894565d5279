//! Reads levels at several readings, produces whether they rise as a leak's do.
//!
//! A wave met at three evenly spaced moments rises alike in one case of six; at the seven of [`MOMENTS`] in one of five hundred,
//! where it is no longer than half the time in all.

/// When to read, as shares of the time in all: never evenly, so that no wave is met at one and the same phase (the distances
/// between them differ, as a Golomb ruler's do), and once half-way.
pub const MOMENTS: [f64; 7] = [0.0, 1.0 / 17.0, 4.0 / 17.0, 0.5, 10.0 / 17.0, 12.0 / 17.0, 1.0];
/// Each half of a leak's growth is at least this part of it. Leaks come in bursts; a warm-up has none of it in one half.
const HALF: i64 = 10;
/// Readings at which a leak has risen to a new height, by at least one part in `RISE` of its growth.
const RISES: usize = 3;
const RISE: i64 = 20;
/// Of fewer readings than [`MOMENTS`], each adds at least one part in so many of what is its due by the time since the one before; and
/// of however many, the last quarter of the time does.
const DUE: f64 = 3.0;
/// Nothing that leaks falls, between two readings, by more than this part of what it grew by in all.
const FALL: i64 = 8;

/// How levels rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rise {
    /// As a leak's: at several readings, in both halves of the time, and without falling far in between. Of fewer readings than
    /// [`MOMENTS`], taken when they could be, each is higher than the one before.
    Steady,
    /// Not at all, or as a warm-up or a wave: it fell far in between, one half has next to nothing of it, or it rose at one or two
    /// of many readings.
    Ended,
    /// Too few readings to be sure of either; or it has hardly risen in the last quarter of the time, as a cache that is full and a
    /// leak that pauses.
    Unclear,
}

impl Rise {
    /// Of levels at these moments, in any unit; moments that do not increase count as evenly spaced.
    pub fn of(levels: &[i64], at: &[f64]) -> Self {
        let (Some(first), Some(last)) = (levels.first(), levels.last()) else {
            return Self::Ended;
        };
        let all = last - first;
        if all <= 0 {
            return Self::Ended;
        }
        let even: Vec<f64> = (0..levels.len()).map(|nth| nth as f64).collect();
        let increasing = at.len() == levels.len() && at.windows(2).all(|pair| pair[1] > pair[0]);
        let at = if increasing { at } else { &even };
        let (start, end) = (at[0], at[at.len() - 1]);
        let mut highest = *first;
        let mut rises = 0;
        let mut each = true;
        for (nth, &level) in levels.iter().enumerate().skip(1) {
            if (highest - level).saturating_mul(FALL) > all {
                return Self::Ended;
            }
            let due = (at[nth] - at[nth - 1]) / (end - start) / DUE;
            each &= (level - levels[nth - 1]) as f64 >= all as f64 * due.min(1.0 / RISE as f64);
            rises += usize::from((level - highest).saturating_mul(RISE) > all);
            highest = highest.max(level);
        }
        // After a part of the time: there is a reading then, or it lies between two.
        let level_after = |part: f64| {
            let moment = start + (end - start) * part;
            let after = at.partition_point(|&at| at < moment).clamp(1, at.len() - 1);
            let part = (moment - at[after - 1]) / (at[after] - at[after - 1]);
            let (below, above) = (levels[after - 1] as f64, levels[after] as f64);
            (below + (above - below) * part) as i64
        };
        let middle = level_after(0.5);
        if [middle - first, last - middle]
            .iter()
            .any(|part| part.saturating_mul(HALF) < all)
        {
            return Self::Ended;
        }
        let few = levels.len() < MOMENTS.len();
        // A cache that is full rises no more.
        let goes_on = (last - level_after(0.75)) as f64 >= all as f64 * 0.25 / DUE;
        match (few, if few { each } else { rises >= RISES }) {
            (false, false) => Self::Ended,
            (_, true) if goes_on => Self::Steady,
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wave_is_met_at_one_phase() {
        // Sines of all phases, from a twentieth to half of the time in all.
        let mut reported = 0;
        for step in 0..200 {
            for phase in 0..100 {
                let period = 0.05 + 0.45 * f64::from(step) / 200.0;
                let levels = MOMENTS.map(|moment| {
                    let turn = moment / period + f64::from(phase) / 100.0;
                    (2000.0 + 1500.0 * (turn * std::f64::consts::TAU).sin()) as i64
                });
                reported += u32::from(Rise::of(&levels, &MOMENTS) == Rise::Steady);
            }
        }
        assert!(reported <= 60, "{reported} of 20000 waves rise like a leak");
    }

    #[test]
    fn of_few_readings_two_may_lie_close_together() {
        let at = [3.8, 4.3, 6.1, 9.9, 11.6, 14.7];
        let leak = at.map(|at| (at * 1000.0) as i64);
        assert_eq!(Rise::of(&leak, &at), Rise::Steady);
        let warm_up = at.map(|at: f64| ((1.0 - (3.8 - at).exp()) * 1000.0) as i64);
        assert_eq!(Rise::of(&warm_up, &at), Rise::Ended);
        // A pause is no proof of the contrary.
        let mut pauses = leak;
        pauses[3] = pauses[2];
        assert_eq!(Rise::of(&pauses, &at), Rise::Unclear);
    }

    #[test]
    fn a_cache_that_is_full_before_the_last_quarter_is_no_leak() {
        for readings in [MOMENTS.as_slice(), &MOMENTS[1..], &[0.0, 0.3, 0.5, 0.8, 1.0]] {
            for full in (30..=75).map(|percent| f64::from(percent) / 100.0) {
                let levels: Vec<i64> = readings.iter().map(|&at| (at.min(full) * 8_000.0) as i64).collect();
                assert_ne!(
                    Rise::of(&levels, readings),
                    Rise::Steady,
                    "full after {full}: {levels:?}"
                );
            }
            let leak: Vec<i64> = readings.iter().map(|&at| (at * 8_000.0) as i64).collect();
            assert_eq!(Rise::of(&leak, readings), Rise::Steady);
        }
    }

    #[test]
    fn what_falls_back_has_ended() {
        assert_eq!(Rise::of(&[5, 9, 3, 8], &[]), Rise::Ended);
        assert_eq!(Rise::of(&[9, 5], &[]), Rise::Ended);
        assert_eq!(Rise::of(&[], &[]), Rise::Ended);
    }
}
