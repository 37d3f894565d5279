//! Runs: reads levels of one life, produces its peak, its ceilings and its growth since its baseline.

use std::sync::Arc;

use observer_common::growth::PLACES;
use serde::{Deserialize, Serialize};

use crate::{
    detect::{Ceilings, Point},
    exit::Cause,
    finding::{Ceiling, CeilingKind},
    identity::{Release, Subject},
    process::ProcessKey,
    time::BootTime,
};

/// Samples before a level is a baseline.
const WARM_UP: u64 = 3;
/// Nanoseconds without a new high after which a run no longer grows.
const STILL: u64 = 3_600 * crate::time::SECOND;

/// One life of a container, as measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Number within its slot, from 1; 0 while the run before it is being settled.
    pub(crate) number: u64,
    /// That it follows another life has been told.
    #[serde(default)]
    pub(crate) succession_told: bool,
    pub(crate) started: BootTime,
    /// It was running when the agent began.
    pub(crate) found: bool,
    /// Something may have been missed while it ran.
    pub(crate) gap: bool,
    /// Nanoseconds of it in which the agent was away.
    pub(crate) away: u64,
    pub(crate) release: Release,
    /// It is counted as one of its release.
    pub(crate) entered: bool,
    /// Release of the run before it in its slot, while it is.
    #[serde(default)]
    pub(crate) before: Option<Release>,
    pub(crate) subject: Arc<Subject>,
    /// Highest usage seen, or the cgroup's own mark, bytes.
    pub(crate) peak: u64,
    /// Highest trend seen, bytes: the level that V8's ceiling is compared with.
    #[serde(default)]
    pub(crate) peak_trend: u64,
    /// Last usage, bytes (page cache included).
    pub(crate) usage: Option<u64>,
    /// The same of its cgroup, which a bare process shares with others.
    #[serde(default)]
    pub(crate) cgroup_usage: Option<u64>,
    /// Last trend, bytes.
    pub(crate) trend: Option<u64>,
    /// Resident memory of the main process, bytes.
    #[serde(default)]
    pub(crate) rss: Option<u64>,
    /// Anonymous memory of the cgroup, bytes; `None` where the run has no cgroup of its own.
    #[serde(default)]
    pub(crate) anon: Option<u64>,
    /// Usage without page cache that has not been used for long, bytes; likewise.
    #[serde(default)]
    pub(crate) working_set: Option<u64>,
    /// Page cache of its cgroup, bytes; likewise.
    #[serde(default)]
    pub(crate) page_cache: Option<u64>,
    pub(crate) sampled: BootTime,
    /// Net growth by place since it is traced, bytes.
    pub(crate) growth: Option<[i64; PLACES]>,
    /// Samples taken.
    pub(crate) samples: u64,
    /// Lowest trend since growth was last ruled out, bytes.
    pub(crate) baseline: Option<u64>,
    /// Highest trend since then, and when it was last raised by a noticeable step.
    pub(crate) high: u64,
    pub(crate) high_at: BootTime,
    pub(crate) ceilings: Ceilings,
    /// The process whose published Resource is read, how often it was asked for, and when last.
    #[serde(default)]
    pub(crate) resource_of: Option<ProcessKey>,
    #[serde(default)]
    pub(crate) resource_reads: u8,
    #[serde(default)]
    pub(crate) resource_read: BootTime,
    /// `near_ceiling` was said once in this run.
    pub(crate) near_said: bool,
    pub(crate) tracing: bool,
    /// Points taken while the run before is being settled: detection sees them after that.
    pub(crate) early: Vec<Point>,
    /// V8's heap limit of the main process, bytes.
    pub(crate) heap_limit: Option<u64>,
    /// The process it was predicted for: once, since V8 sizes its heap when it starts and not when a limit is changed.
    pub(crate) heap_limit_of: Option<ProcessKey>,
    /// The cgroup's limit, bytes, and the cgroup that sets it.
    pub(crate) limit: Option<crate::sample::Limit>,
}

impl Run {
    pub(crate) fn new(started: BootTime, found: bool, release: Release, subject: Arc<Subject>) -> Self {
        Self {
            number: 0,
            succession_told: false,
            started,
            found,
            gap: false,
            away: 0,
            release,
            entered: false,
            before: None,
            subject,
            peak: 0,
            peak_trend: 0,
            usage: None,
            cgroup_usage: None,
            trend: None,
            rss: None,
            anon: None,
            working_set: None,
            page_cache: None,
            sampled: started,
            growth: None,
            samples: 0,
            baseline: None,
            high: 0,
            high_at: started,
            ceilings: Ceilings::default(),
            resource_of: None,
            resource_reads: 0,
            resource_read: started,
            near_said: false,
            tracing: false,
            early: Vec::new(),
            heap_limit: None,
            heap_limit_of: None,
            limit: None,
        }
    }

    fn v8(&self) -> Option<Ceiling> {
        let kind = CeilingKind::V8Heap;
        self.ceilings.v8.map(|bytes| Ceiling { bytes, kind })
    }

    /// The ceiling at which an end of this cause happens.
    pub(crate) fn ceiling_of(&self, cause: Cause) -> Option<Ceiling> {
        match cause {
            Cause::KernelOom => self.ceilings.cgroup,
            Cause::V8HeapOom => self.v8(),
            _ => None,
        }
    }

    /// The peak to be held against this ceiling: a cgroup's limit counts usage, V8's ceiling the level; without one, usage.
    pub(crate) const fn peak_against(&self, ceiling: Option<Ceiling>) -> u64 {
        match ceiling {
            Some(Ceiling {
                kind: CeilingKind::V8Heap,
                ..
            }) => self.peak_trend,
            _ => self.peak,
        }
    }

    /// The lower of the ceilings in force.
    pub(crate) fn ceiling(&self) -> Option<Ceiling> {
        let v8 = self.v8();
        match (self.ceilings.cgroup, v8) {
            (Some(a), Some(b)) => Some(if b.bytes < a.bytes { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// Takes a level; says whether tracing of growth is to be switched, and to what.
    ///
    /// On after a rise over the baseline of 4 % of the ceiling (at least 8 MiB; 16 MiB without a ceiling). Off when the
    /// level has fallen back by half of that rise, or has made no new high for [`STILL`] (in real time): the level
    /// reached is then the new baseline, so that a service that has warmed up is left alone.
    pub(crate) fn growth(&mut self, at: BootTime, trend: u64, time_scale: f64) -> Option<bool> {
        // A process that has just started is not growing but starting.
        if self.samples <= WARM_UP {
            self.baseline = Some(trend);
            self.high = trend;
            self.high_at = at;
            return None;
        }
        let step = self.ceiling().map_or(16 << 20, |c| (c.bytes / 25).max(8 << 20));
        let baseline = self.baseline.map_or(trend, |b| b.min(trend));
        self.baseline = Some(baseline);
        if trend > self.high.saturating_add(step / 8) {
            self.high = trend;
            self.high_at = at;
        }
        let rise = trend.saturating_sub(baseline);
        if !self.tracing {
            self.tracing = rise >= step;
            return self.tracing.then_some(true);
        }
        let still = at.since(self.high_at) as f64 >= STILL as f64 * time_scale;
        if still || rise < step / 2 {
            self.tracing = false;
            self.baseline = Some(trend);
            self.high = trend;
            return Some(false);
        }
        None
    }
}
