//! Carry-over: reads the detector of one slot, produces that of the slot that takes its place in the same workload, at its
//! start or once it is known whose place it takes.

use super::slot::{Counts, Growth, SlotDetector};
use crate::{
    detect::{config::DetectConfig, thresholds::MASKED},
    finding::State,
    identity::Version,
};

/// Ended runs that a pod takes over from the one before: as many alike as confirm a leak that is restarted each night.
const HANDED_ON: usize = MASKED;
/// Stands for the number of a run of another pod.
const ANOTHER_PODS: u64 = u64::MAX;

impl SlotDetector {
    /// The detector of a slot that takes this one's place with another version: a new pod, where the old one had a name
    /// of its own. It knows what was reported of this version, and nothing of its current run.
    #[must_use]
    pub fn carry_over(&self, config: DetectConfig) -> Self {
        Self {
            config,
            run: None,
            counts: Counts::default(),
            ..self.clone()
        }
    }

    /// The version of the run in progress has become known, or known better.
    pub fn name_version(&mut self, version: Option<&Version>) {
        if self.run.is_some() && version.is_some() {
            self.version = version.cloned();
        }
    }

    /// The version of runs that ended has become known, or known better.
    pub fn rename_version(&mut self, from: Option<&Version>, to: Option<&Version>) {
        for version in [&mut self.version, &mut self.first_version] {
            if version.as_ref() == from {
                *version = to.cloned();
            }
        }
    }

    /// Takes the place of a detector that reports a leak in the middle of its first run: the names that tell whose place it takes came
    /// after the run began. One with a history of its own stays as it is.
    pub fn adopt(&mut self, leaking: &Self) {
        if !self.records.is_empty() || self.unresolved.is_some() {
            return;
        }
        let carried = Self {
            run: None,
            ..leaking.carry_over(self.config)
        };
        let own = std::mem::replace(self, carried);
        self.counts = own.counts;
        self.enter_version(own.version.as_ref());
        self.run = own.run;
    }

    /// Takes what the ended runs of `before` taught: those of another pod of the workload, whose place this one takes with `version`.
    /// What is said of its own first run stays, and `confirmed` goes on for the same version.
    pub fn succeed(&mut self, before: &Self, version: Option<&Version>) {
        // One that was carried over knows of a leak of an earlier version, and goes on with that.
        let carried = self.unresolved.is_some() || (self.run.is_none() && self.state != State::Quiet);
        if carried || !self.records.is_empty() {
            return;
        }
        let same = match (&before.version, version) {
            (None, None) => !before.rolled,
            (before, now) => before.as_ref() == now,
        };
        let last = before.records.len().saturating_sub(HANDED_ON);
        self.records = before.records.get(last..).unwrap_or_default().to_vec();
        self.generation = before.generation.wrapping_add(u32::from(!same));
        self.version = version.cloned();
        if !same {
            return;
        }
        self.refuted = self.refuted.max(before.refuted);
        if self.state == State::Quiet && before.state == State::Confirmed {
            self.state = State::Confirmed;
            self.first_version.clone_from(&before.first_version);
            self.growth = before.growth.map(|growth| Growth {
                run: ANOTHER_PODS,
                ..growth
            });
            self.entered = (ANOTHER_PODS, before.entered.1);
        }
    }

    /// Keeps the last so many ended runs: its own.
    pub fn keep_own(&mut self, runs: usize) {
        self.records.drain(..self.records.len().saturating_sub(runs));
        self.records.shrink_to_fit();
    }

    /// Whether it turns out to belong to a Job or CronJob.
    pub fn set_job(&mut self, job: bool) {
        self.config.job = job;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::history::point::{Point, RunEnd},
        finding::Cause,
        time::{BootTime, SECOND},
    };

    const MB: u64 = 1 << 20;

    fn version(name: &str) -> Version {
        Version(name.to_owned())
    }

    /// Lives for an hour at a level.
    fn lived(of: &str, level: u64) -> SlotDetector {
        let at = |minute: u64| BootTime(minute * 60 * SECOND);
        let mut detector = SlotDetector::new(DetectConfig::default());
        detector.begin_run(1, at(0), Some(&version(of)));
        for minute in 1..60 {
            detector.observe(&Point {
                at: at(minute),
                trend: level,
                ..Point::default()
            });
        }
        detector.end_run(&RunEnd::new(at(60), Cause::Terminated));
        detector
    }

    #[test]
    fn a_level_that_an_earlier_pod_lived_with_is_no_news_of_a_later_one() {
        let before = lived("1", 300 * MB);
        for (now, generation) in [("1", before.generation), ("2", before.generation + 1)] {
            let mut after = SlotDetector::new(DetectConfig::default());
            after.succeed(&before, Some(&version(now)));
            after.begin_run(1, BootTime(7_200 * SECOND), Some(&version(now)));
            assert_eq!(after.ended().bounded(&after.config), (300 * MB) as f64, "version {now}");
            assert_eq!(after.generation, generation, "version {now}");
            // What it learns itself is not replaced by another's.
            after.succeed(&lived("1", 900 * MB), Some(&version(now)));
            assert_eq!(after.records, before.records);
        }
    }
}
