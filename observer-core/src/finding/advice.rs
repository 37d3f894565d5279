//! Forecasts, and what a larger limit buys. Plain data.

use serde::{Deserialize, Serialize};

/// A forecast with its interval, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Ten in a hundred are sooner.
    pub p10: f64,
    /// The middle.
    pub p50: f64,
    /// Ten in a hundred are later.
    pub p90: f64,
}

/// What a larger limit of the container buys a run that goes on growing at the pace it was seen to grow at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LargerLimit {
    /// The limit, bytes: twice the one in force.
    pub limit: u64,
    /// Seconds by which it puts the end off.
    pub reprieve: Forecast,
    /// V8's heap limit, bytes, where it is lower: it may end the process before.
    pub heap_limit: Option<u64>,
}

/// V8's flag that fits the container, where V8's heap limit does not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapFlag {
    /// `--max-old-space-size`, MiB.
    pub old_space_mib: u64,
    /// V8's heap limit now, bytes.
    pub heap_limit: u64,
    /// The container's limit, bytes.
    pub cgroup_limit: u64,
    /// Seconds by which it puts the end off, where V8's limit is what ends the process.
    pub reprieve: Option<Forecast>,
}

/// Page cache that makes a container's usage look close to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCache {
    /// Page cache, bytes.
    pub cache: u64,
    /// All else: what the container needs, bytes.
    pub level: u64,
    /// The limit, bytes.
    pub limit: u64,
}

impl PageCache {
    /// Share of a limit from which usage looks close to it: the default of `near-ceiling`.
    const NEAR: f64 = 0.8;

    /// Where page cache is most of a usage that looks close to its limit, and what is needed is not.
    pub fn of(cache: u64, level: u64, limit: u64) -> Option<Self> {
        let near = |bytes: u64| bytes as f64 >= Self::NEAR * limit as f64;
        let looks_near = near(cache.saturating_add(level)) && !near(level);
        (limit > 0 && cache > level && looks_near).then_some(Self { cache, level, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::PageCache;

    #[test]
    fn cache_is_told_where_it_is_most_of_a_usage_close_to_the_limit() {
        let of = |cache, level| PageCache::of(cache, level, 512).is_some();
        assert!(of(350, 140));
        assert!(!of(200, 140), "far from the limit");
        assert!(!of(150, 350), "most of it is needed");
        assert!(!of(600, 450), "what is needed is close to the limit by itself");
        assert_eq!(PageCache::of(350, 140, 0), None);
    }
}
