//! Levels: what a cgroup or a process holds at one instant.

use serde::{Deserialize, Serialize};

use crate::process::ProcessKey;

/// One reading of a watched process and its cgroup. All sizes in bytes; `None` where it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The watched process (a container's Node process; the process itself on a bare host).
    pub process: ProcessKey,
    /// Its resident set, from statm.
    pub rss: Option<u64>,
    /// Its resident set less shared pages (RssAnon, approximated by statm as resident - shared).
    pub rss_anon: Option<u64>,
    /// The cgroup's counters.
    pub cgroup: Option<CgroupLevel>,
    /// Growth counters by place ([`observer_common::growth::Place`] order), since growth was traced.
    pub growth: Option<Vec<Growth>>,
}

/// Growth of one place since tracing began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Bytes asked for.
    pub grown: u64,
    /// Bytes given back.
    pub shrunk: u64,
}

/// A cgroup's memory counters, v1 or v2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLevel {
    /// `memory.current` or `memory.usage_in_bytes`.
    pub usage: u64,
    /// `anon` / `total_rss`.
    pub anon: u64,
    /// Page cache, without shared memory.
    pub file: u64,
    /// Shared memory and tmpfs.
    pub shmem: u64,
    /// Swapped out.
    pub swap: u64,
    /// `slab_unreclaimable`; 0 on v1.
    pub slab_unreclaimable: u64,
    /// `inactive_file`: working set = usage - this.
    pub inactive_file: u64,
    /// The lowest limit of this cgroup and its ancestors; `None` where none is set.
    pub limit: Option<Limit>,
    /// Limit of this cgroup itself, without its ancestors': all that a Node process in it looks at when it sizes its heap.
    #[serde(default)]
    pub own_limit: Option<u64>,
    /// Its `memory.high`, or v1's soft limit: throttled beyond, not killed. Node sizes its heap by it as well.
    #[serde(default)]
    pub high: Option<u64>,
    /// `memory.peak` or `memory.max_usage_in_bytes`.
    pub peak: Option<u64>,
    /// Cumulative processes killed for memory here (`oom_kill`).
    pub oom_kills: Option<u64>,
    /// CPU time used by the cgroup, nanoseconds.
    pub cpu_ns: Option<u64>,
}

impl CgroupLevel {
    /// The trend variable of detection: anon + swap + shmem + unreclaimable slab, bytes. Page cache never enters it.
    pub const fn trend(&self) -> u64 {
        self.anon
            .saturating_add(self.swap)
            .saturating_add(self.shmem)
            .saturating_add(self.slab_unreclaimable)
    }
}

/// A memory limit and where it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Bytes.
    pub bytes: u64,
    /// Path of the cgroup that sets it: the container's own, or an ancestor's.
    pub cgroup: String,
}
