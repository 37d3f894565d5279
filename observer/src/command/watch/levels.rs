//! Levels of a process whose heap cannot be read: its anonymous memory over time, judged by the agent's own detector.

use observer_core::{
    detect::{DetectConfig, Gate, Point, SlotDetector},
    process::HeapFlags,
    time::{BootTime, SECOND},
    v8_limit::{Inputs, SetBy, heap_limit},
};

use super::schedule::Over;

/// V8's limit that is assumed where no flag tells it: growth up to what it may have left uncollected tells nothing.
const HEAP_LIMIT: u64 = 2 << 30;
/// Seconds of the detector's shortest run at its own scale.
const SHORTEST: f64 = 7_200.0;
/// Questions about a ceiling, which a command has none of.
const CEILING: [&str; 2] = ["near_in_time", "level"];
/// Growth from the third quarter of the time to the last below which a level is flat: bytes, and as a share of it.
const FLAT: f64 = 1_048_576.0;
const FLAT_SHARE: f64 = 0.05;
/// Seconds of levels below which they tell of nothing that it stays.
const LONG: f64 = 8.0;

pub(super) struct Levels {
    detector: SlotDetector,
    seen: Vec<(f64, f64)>,
    asked: f64,
    heap_limit: u64,
}

/// V8's limit, where a flag sets its size. Which version runs hardly matters then.
fn told(flags: HeapFlags) -> Option<u64> {
    let inputs = Inputs {
        major: 24,
        flags,
        ..Inputs::default()
    };
    let limit = heap_limit(&inputs).filter(|limit| limit.set_by == SetBy::Flag)?;
    Some(limit.bytes)
}

/// What levels alone tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Grows,
    Flat,
    Nothing,
}

impl Levels {
    /// Of a process that was started with these flags.
    pub(super) fn new(over: Over, flags: HeapFlags) -> Self {
        let asked = match over {
            Over::Time(seconds) => seconds,
            // Rounds have no duration of their own.
            Over::Rounds(_) => 60.0,
        };
        let mut detector = SlotDetector::new(DetectConfig::default());
        detector.set_time_scale((asked / SHORTEST).clamp(0.001, 1.0));
        detector.begin_run(1, BootTime(0), None);
        Self {
            detector,
            seen: Vec::new(),
            asked,
            heap_limit: told(flags).unwrap_or(HEAP_LIMIT),
        }
    }

    pub(super) fn take(&mut self, at: f64, bytes: u64) {
        self.seen.push((at, bytes as f64));
        self.detector.observe(&Point {
            at: BootTime((at * SECOND as f64) as u64),
            trend: bytes,
            heap_limit: Some(self.heap_limit),
            ..Point::default()
        });
    }

    pub(super) fn ends(&self) -> Option<(f64, f64)> {
        Some((self.seen.first()?.1, self.seen.last()?.1))
    }

    pub(super) fn told(&self) -> Told {
        let end = self.seen.last().map_or(0.0, |last| last.0);
        if end * 2.0 < self.asked {
            return Told::Nothing;
        }
        // Gates are asked in order, up to the first that does not hold: those about a ceiling come last.
        let gates = self.detector.gates();
        let of_ceiling = |gate: &Gate| CEILING.contains(&gate.name.as_str());
        if gates.iter().any(of_ceiling) && gates.iter().all(|gate| gate.held || of_ceiling(gate)) {
            return Told::Grows;
        }
        let mean = |from: f64, to: f64| {
            let levels = self
                .seen
                .iter()
                .filter(|(at, _)| (from..=to).contains(&(at / end.max(1e-9))));
            let (sum, count) = levels.fold((0.0, 0u32), |(sum, count), level| (sum + level.1, count + 1));
            sum / f64::from(count.max(1))
        };
        let (before, after) = (mean(0.5, 0.75), mean(0.75, 1.0));
        let flat = after - before < FLAT.max(FLAT_SHARE * before);
        if flat && end >= LONG { Told::Flat } else { Told::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_sets_the_limit_that_is_assumed() {
        let old_space = |mib| HeapFlags {
            max_old_space_mib: Some(mib),
            ..HeapFlags::default()
        };
        let limit = told(old_space(100)).unwrap();
        assert!((100 << 20..130 << 20).contains(&limit), "{limit}");
        assert_eq!(told(HeapFlags::default()), None);
    }

    /// What is told of a process whose level goes from one height to another over so many seconds.
    fn over(seconds: u32, level: impl Fn(f64) -> f64) -> Told {
        let mut levels = Levels::new(Over::Time(f64::from(seconds)), HeapFlags::default());
        for tenth in 0..=seconds * 10 {
            let at = f64::from(tenth) / 10.0;
            levels.take(at, (level(at / f64::from(seconds)) * f64::from(1 << 20)) as u64);
        }
        levels.told()
    }

    #[test]
    fn a_small_process_that_grows_to_a_multiple_does_not_stay_level() {
        for (seconds, from, to) in [(14, 6.2, 20.0), (38, 4.1, 11.0), (30, 5.9, 15.0), (60, 20.0, 60.0)] {
            let told = over(seconds, |part| from + (to - from) * part);
            assert_ne!(told, Told::Flat, "{from} to {to} MiB over {seconds} s");
        }
    }

    #[test]
    fn what_stays_level_is_told_after_a_while() {
        assert_eq!(over(40, |part| 30.0 + (part * 300.0).sin()), Told::Flat);
        assert_eq!(
            over(40, |part| if part < 0.3 { 10.0 + 60.0 * part } else { 28.0 }),
            Told::Flat
        );
        assert_eq!(over(3, |_| 30.0), Told::Nothing, "seconds tell nothing");
    }
}
