//! The settings of detection: reads a time scale and what is known of the workload, produces the thresholds' units.

use serde::{Deserialize, Serialize};

use crate::time::SECOND;

/// Widths of the three rings' buckets at time scale 1, minutes: 1.6 h, 12.8 h and 4.3 d over 48 buckets.
pub const RING_WIDTHS_MIN: [f64; 3] = [2.0, 16.0, 128.0];

/// Settings of one slot's detector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectConfig {
    /// Factor on every duration: 1 where samples are 10 s apart or more, proportionally less where they are closer.
    pub time_scale: f64,
    /// A Job's or CronJob's: it ends by itself, so nothing beyond `suspected` is said of it.
    pub job: bool,
    /// Memory of the host, bytes: the ceiling where nothing lower is set.
    pub host_memory: Option<u64>,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            job: false,
            host_memory: None,
        }
    }
}

impl DetectConfig {
    /// The time scale that goes with a distance between samples: 1 from 10 s upward, `interval / 10 s` below.
    ///
    /// A service sampled each second is one whose owner expects something within minutes.
    pub fn scale_for_interval(interval_s: f64) -> f64 {
        if interval_s.is_finite() && interval_s > 0.0 {
            (interval_s / 10.0).clamp(0.001, 1.0)
        } else {
            1.0
        }
    }

    /// `minutes` at time scale 1, in nanoseconds at this one.
    pub fn minutes(&self, minutes: f64) -> u64 {
        self.seconds(minutes * 60.0)
    }

    /// `hours` at time scale 1, in nanoseconds at this one.
    pub fn hours(&self, hours: f64) -> u64 {
        self.seconds(hours * 3_600.0)
    }

    fn seconds(&self, seconds: f64) -> u64 {
        let scale = if self.time_scale.is_finite() && self.time_scale > 0.0 {
            self.time_scale
        } else {
            1.0
        };
        ((seconds * scale * SECOND as f64) as u64).max(1)
    }
}
