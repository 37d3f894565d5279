//! The circumstances and settings that shape findings: told once, when the agent begins.

use serde::{Deserialize, Serialize};

use crate::{heap::HeapSettings, selection::PodSelection, time::Anchor};

/// The agent's circumstances: all that shapes findings and is not an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Version of the recording's layout.
    pub format: u32,
    /// The agent's version.
    pub agent: String,
    /// `/proc/sys/kernel/random/boot_id`: boot times of two boots do not compare.
    pub boot_id: String,
    /// Host name.
    pub host: String,
    /// The wall clock.
    pub clock: Anchor,
    /// Seconds between samples.
    pub sample_interval_s: f64,
    /// Memory of the host, bytes.
    pub host_memory: u64,
    /// cgroup version that accounts for memory: 1 or 2.
    pub cgroup_version: u8,
    /// Settings of detection.
    pub settings: Settings,
}

/// Settings that change what is found. Validated by the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Share of a ceiling at which `near_ceiling` is said.
    pub near_ceiling_ratio: f64,
    /// Time scale of detection: 1 for real services; below 1 where a leak is compressed in time (the demo).
    pub time_scale: f64,
    /// A pod's well-known labels may name its service.
    #[serde(default)]
    pub service_labels: bool,
    /// Readings of heaps.
    #[serde(default)]
    pub heap: HeapSettings,
    /// Which pods are observed.
    #[serde(default)]
    pub pods: PodSelection,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            near_ceiling_ratio: 0.8,
            time_scale: 1.0,
            service_labels: false,
            heap: HeapSettings::default(),
            pods: PodSelection::default(),
        }
    }
}
