//! Carry-over: reads the detector of one slot, produces that of the slot that takes its place in the same workload, at its
//! start or once it is known whose place it takes.

use super::slot::{Counts, SlotDetector};
use crate::{detect::config::DetectConfig, identity::Version};

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

    /// Whether it turns out to belong to a Job or CronJob.
    pub fn set_job(&mut self, job: bool) {
        self.config.job = job;
    }
}
