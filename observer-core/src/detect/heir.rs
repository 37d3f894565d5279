//! Heirs: reads the detector of one slot, produces that of another slot of the same workload.

use super::{Counts, DetectConfig, SlotDetector};

impl SlotDetector {
    /// The detector of a slot that takes this one's place with another version: a new pod, where the old one had a name
    /// of its own. It knows what this version was accused of, and nothing of its current run.
    #[must_use]
    pub fn heir(&self, config: DetectConfig) -> Self {
        Self {
            config,
            run: None,
            counts: Counts::default(),
            ..self.clone()
        }
    }

    /// Whether it turns out to belong to a Job or CronJob.
    pub fn set_job(&mut self, job: bool) {
        self.config.job = job;
    }
}
