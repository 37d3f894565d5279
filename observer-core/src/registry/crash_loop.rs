//! Crash loops: reads how each run of a slot ended and how long it lived, produces whether a restart is told by itself or
//! is one of a loop, and when the loop's finding is updated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pairs;
use crate::{
    exit::Cause,
    finding::RunSummary,
    time::{BootTime, SECOND},
};

/// Restarts in a row that are told one by one.
const SINGLE: u32 = 3;
/// A run that lives longer ends a loop: Kubernetes forgets its back-off after ten minutes too.
const OUTLIVED: u64 = 600 * SECOND;

/// Short runs of a slot that failed one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CrashLoop {
    /// Restarts in a row, each after a short run that failed.
    restarts: u32,
    /// Start of the first of those runs.
    since: BootTime,
    #[serde(with = "pairs")]
    causes: BTreeMap<Cause, u32>,
    /// Restarts and time at the last update; none was made where it is 0.
    #[serde(rename = "told")]
    reported: u32,
    #[serde(rename = "told_at")]
    reported_at: BootTime,
}

/// What is to be said of a restart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RestartReport {
    /// It is told by itself.
    Single,
    /// It belongs to a loop whose finding is updated.
    Loop(LoopCounts),
    /// It belongs to a loop, and says nothing new.
    Counted,
}

/// A loop as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoopCounts {
    pub(crate) restarts: u32,
    pub(crate) since: BootTime,
    /// Mean time from one restart to the next since the last update, nanoseconds.
    pub(crate) interval: u64,
    /// Causes of the ends, the most frequent first.
    pub(crate) causes: Vec<(Cause, u32)>,
}

impl CrashLoop {
    /// A run began at `at` after `previous`.
    pub(crate) fn restarted(
        &mut self,
        at: BootTime,
        previous: &RunSummary,
        rollout: bool,
        time_scale: f64,
    ) -> RestartReport {
        let failed = !matches!(
            previous.cause(),
            Cause::Completed | Cause::Terminated | Cause::Evicted | Cause::Rollout
        );
        if rollout || !failed || outlived(previous.started, previous.ended, time_scale) {
            *self = Self::default();
            return RestartReport::Single;
        }
        if self.restarts == 0 {
            self.since = previous.started;
        }
        self.restarts = self.restarts.saturating_add(1);
        let of_cause = self.causes.entry(previous.cause()).or_insert(0);
        *of_cause = of_cause.saturating_add(1);
        let new_cause = *of_cause == 1;
        if self.restarts <= SINGLE {
            return RestartReport::Single;
        }
        // The count has doubled, or it fails in another way.
        if self.reported == 0 || self.restarts >= self.reported.saturating_mul(2) || new_cause {
            return RestartReport::Loop(self.update(at));
        }
        RestartReport::Counted
    }

    /// The run in progress, which began at `started`, lives at `now`: the end of a loop, where there was one.
    pub(crate) fn over(&mut self, started: BootTime, now: BootTime, time_scale: f64) -> Option<LoopCounts> {
        if self.restarts == 0 || !outlived(started, now, time_scale) {
            return None;
        }
        let said = self.reported > 0;
        let counts = self.update(started);
        *self = Self::default();
        said.then_some(counts)
    }

    fn update(&mut self, at: BootTime) -> LoopCounts {
        let (since, before) = if self.reported == 0 {
            (self.since, 0)
        } else {
            (self.reported_at, self.reported)
        };
        let more = u64::from(self.restarts.saturating_sub(before));
        let interval = match at.since(since).checked_div(more) {
            Some(interval) => interval,
            None => at.since(self.since) / u64::from(self.restarts.max(1)),
        };
        self.reported = self.restarts;
        self.reported_at = at;
        let mut causes: Vec<(Cause, u32)> = self.causes.iter().map(|(cause, count)| (*cause, *count)).collect();
        causes.sort_by_key(|(cause, count)| (std::cmp::Reverse(*count), *cause));
        LoopCounts {
            restarts: self.restarts,
            since: self.since,
            interval,
            causes,
        }
    }
}

fn outlived(from: BootTime, to: BootTime, time_scale: f64) -> bool {
    to.since(from) as f64 >= OUTLIVED as f64 * time_scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::End;

    const fn at(second: u64) -> BootTime {
        BootTime(second * SECOND)
    }

    fn run(started: u64, ended: u64, cause: Cause) -> RunSummary {
        RunSummary {
            run: 1,
            started: at(started),
            ended: at(ended),
            version: None,
            end: End { cause, ..End::unseen() },
            reported: None,
            peak: 0,
            ceiling: None,
            slope_bytes_per_hour: None,
        }
    }

    /// One restart every five seconds.
    fn restarts(crash_loop: &mut CrashLoop, numbers: std::ops::Range<u64>, cause: Cause) -> Vec<RestartReport> {
        numbers
            .map(|n| crash_loop.restarted(at(n * 5 + 5), &run(n * 5, n * 5 + 4, cause), false, 1.0))
            .collect()
    }

    fn counts(told: &[RestartReport]) -> Vec<u32> {
        let update = |told: &RestartReport| match told {
            RestartReport::Single => Some(0),
            RestartReport::Loop(counts) => Some(counts.restarts),
            RestartReport::Counted => None,
        };
        told.iter().filter_map(update).collect()
    }

    #[test]
    fn the_first_are_single_and_the_rest_is_one_finding_updated_as_its_count_doubles() {
        let mut crash_loop = CrashLoop::default();
        let told = restarts(&mut crash_loop, 0..40, Cause::ErrorExit);
        assert_eq!(counts(&told), [0, 0, 0, 4, 8, 16, 32]);
        let RestartReport::Loop(last) = &told[31] else {
            panic!("{told:?}")
        };
        assert_eq!((last.interval, last.since), (5 * SECOND, at(0)));
        assert_eq!(last.causes, [(Cause::ErrorExit, 32)]);
    }

    #[test]
    fn another_cause_is_news() {
        let mut crash_loop = CrashLoop::default();
        restarts(&mut crash_loop, 0..6, Cause::ErrorExit);
        let told = restarts(&mut crash_loop, 6..8, Cause::KernelOom);
        let RestartReport::Loop(counts) = &told[0] else {
            panic!("{told:?}")
        };
        assert_eq!(counts.causes, [(Cause::ErrorExit, 6), (Cause::KernelOom, 1)]);
        assert_eq!(told[1], RestartReport::Counted);
    }

    #[test]
    fn what_lives_long_was_meant_or_is_another_version_is_no_loop() {
        for (cause, lived, rollout) in [
            (Cause::ErrorExit, 700, false),
            (Cause::Completed, 5, false),
            (Cause::Terminated, 5, false),
            (Cause::ErrorExit, 5, true),
        ] {
            let mut crash_loop = CrashLoop::default();
            for n in 0..20_u64 {
                let told = crash_loop.restarted(
                    at(n * 1_000 + lived),
                    &run(n * 1_000, n * 1_000 + lived, cause),
                    rollout,
                    1.0,
                );
                assert_eq!(told, RestartReport::Single, "{cause:?}");
            }
        }
    }

    #[test]
    fn a_loop_is_over_when_a_run_outlives_it_and_that_is_said_where_the_loop_was() {
        let mut crash_loop = CrashLoop::default();
        restarts(&mut crash_loop, 0..2, Cause::ErrorExit);
        assert_eq!(crash_loop.over(at(10), at(700), 1.0), None, "no loop was told");
        restarts(&mut crash_loop, 0..10, Cause::ErrorExit);
        assert_eq!(crash_loop.over(at(50), at(60), 1.0), None);
        let over = crash_loop.over(at(50), at(651), 1.0).unwrap();
        assert_eq!((over.restarts, over.interval), (10, 5 * SECOND));
        assert_eq!(crash_loop, CrashLoop::default());
    }
}
