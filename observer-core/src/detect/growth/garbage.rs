//! Garbage that V8 has not collected yet: reads V8's heap limit, the container's, a run's growth and what a reading of its
//! heap found; says up to which level the growth may be garbage and nothing else.
//!
//! V8 lets its old generation grow to a threshold before it looks for garbage there (`Heap::ConfigureHeap`,
//! `MemoryController::GrowingFactor` and `CalculateAllocationLimit` in src/heap). The first threshold is half of the heap
//! limit, at most 512 MiB; each later one a multiple of what lived at the last collection, at most half-way to the limit.
//! Growth below it says nothing about what is held. Where the threshold lies above the container's limit, garbage alone
//! fills the container and the kernel ends it, each time alike: a misfit of the two limits, and no leak.

use super::{
    ceiling::{OUTSIDE_HEAP, sane},
    gates::Outcome,
};
use crate::{
    detect::{
        history::{parts::Parts, point::Point, run::Run},
        thresholds::SIZE_BYTES,
    },
    finding::{Cause, Confidence, HeapEvidence, MOST},
    heap::Contents,
    time::BootTime,
};

const MIB: u64 = 1 << 20;
/// The first threshold is never higher.
const FIRST_AT_MOST: u64 = 512 * MIB;
/// Heap limits between which V8's largest growing factor rises from [`FACTORS`]' first to its second; from the upper one
/// on it is [`FACTOR_LARGE`].
const FACTOR_LIMITS: (u64, u64) = (256 * MIB, 2048 * MIB);
const FACTORS: (f64, f64) = (1.3, 2.0);
const FACTOR_LARGE: f64 = 4.0;
/// Buckets of the finest ring over which the floor at a reading is the lowest.
const RECENT: usize = 3;
/// Most that a run may have grown while it was read, as a share of all its growth.
const MEANWHILE: f64 = 0.2;

/// How much of a run's growth may be garbage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::detect) enum Uncollected {
    /// None: it grew elsewhere, or V8's limit is not known.
    Nothing,
    /// All of it below this level, bytes. Where the container's limit is lower it is never reached.
    Below(f64),
}

/// Bytes of heap up to which V8 need not have collected its old generation, with this heap limit and this much alive.
pub fn threshold(heap_limit: u64, live: u64) -> u64 {
    let first = (heap_limit / 2).min(FIRST_AT_MOST);
    let (low, high) = FACTOR_LIMITS;
    let factor = if heap_limit >= high {
        FACTOR_LARGE
    } else {
        let share = heap_limit.saturating_sub(low) as f64 / (high - low) as f64;
        FACTORS.0 + share * (FACTORS.1 - FACTORS.0)
    };
    let halfway = live.midpoint(heap_limit.max(live));
    first.max(((live as f64 * factor) as u64).min(halfway))
}

/// Whether garbage alone may fill a container of this limit before V8 collects.
pub fn collected_too_late(heap_limit: u64, cgroup_limit: u64, live: u64) -> bool {
    heap_limit > cgroup_limit && threshold(heap_limit, live) >= cgroup_limit
}

/// Up to which level the growth of `run` may be garbage.
pub(in crate::detect) fn uncollected(run: &Run) -> Uncollected {
    let Some(heap_limit) = run.now.heap_limit.filter(|bytes| sane(*bytes)) else {
        return Uncollected::Nothing;
    };
    if run.early.is_some_and(|early| early.share_in_v8(&run.now) < MOST) {
        return Uncollected::Nothing;
    }
    let live = (run.base() as u64).saturating_sub(run.now.other_processes.saturating_add(OUTSIDE_HEAP));
    let limit = run.now.ceilings.cgroup.filter(|limit| sane(limit.bytes));
    let fits = |limit: u64| heap_limit <= limit.saturating_sub(OUTSIDE_HEAP);
    if limit.is_some_and(|limit| !fits(limit.bytes) && !collected_too_late(heap_limit, limit.bytes, live)) {
        // V8's limit does not fit, but it collects before the container is full: what is near its limit is held.
        return Uncollected::Nothing;
    }
    Uncollected::Below(threshold(heap_limit, live) as f64 + OUTSIDE_HEAP as f64 + run.now.other_processes as f64)
}

/// What a reading of the heap that took `took_ns` says of the growth of `run`. `None` where it has not grown by enough to decide
/// anything, or went on growing while it was read: what is promoted behind the marks looks dead.
pub(in crate::detect) fn evidence(run: &Run, at: BootTime, took_ns: u64, contents: &Contents) -> Option<HeapEvidence> {
    let recent: Vec<f64> = run.rings[0].closed().map(|(_, bucket)| bucket.floor()).collect();
    let recent = recent.get(recent.len().saturating_sub(RECENT)..)?;
    let level = run.now.trend as f64;
    let floor = recent.iter().copied().fold(level, f64::min);
    let grown = (floor - run.base()).max(0.0);
    if run.rise_during_last(took_ns) > MEANWHILE * grown {
        return None;
    }
    // What stands above the floor is garbage that collections do take back.
    let garbage = (contents.dead as f64 - (level - floor)).clamp(0.0, grown);
    (grown >= SIZE_BYTES).then_some(HeapEvidence {
        at,
        grown: grown as u64,
        garbage: garbage as u64,
        held: contents.held,
    })
}

/// The gate `collected`; `None` where the growth cannot be garbage. After a death of what was held (`died`) the next
/// climb is no garbage either, unless a reading says so.
pub(in crate::detect) fn collected(heap: Option<HeapEvidence>, run: &Run, floor: f64, died: bool) -> Option<Outcome> {
    // One that is not confirmed yet retracts nothing, and nothing new is said meanwhile.
    let (held, value, threshold) = match (run.unconfirmed.or(heap), uncollected(run)) {
        (Some(read), _) => {
            let held = read.grown.saturating_sub(read.garbage);
            (!read.is_garbage(), held as f64, MOST * read.grown as f64)
        }
        (None, Uncollected::Below(level)) if !died => (floor >= level, floor, level),
        (None, _) => return None,
    };
    Some(Outcome {
        name: "collected",
        held,
        value,
        threshold,
    })
}

/// Whether what an ended run grew by may have been garbage and nothing else. `peak` is its highest level, bytes.
pub(in crate::detect) fn ended_with_garbage(heap: Option<HeapEvidence>, run: &Run, cause: Cause, peak: u64) -> bool {
    // V8 gives up only after it has collected.
    if cause == Cause::V8HeapOom {
        return false;
    }
    match (heap, uncollected(run)) {
        (Some(evidence), _) => evidence.is_garbage(),
        (None, Uncollected::Nothing) => false,
        (None, Uncollected::Below(level)) => (peak as f64) < level,
    }
}

impl Parts {
    /// Share of the growth from `self` to `now` that is, or may be, in V8's heap.
    pub(in crate::detect) fn share_in_v8(&self, now: &Point) -> f64 {
        let Some(attribution) = self.attribute(now) else {
            return 1.0;
        };
        let shares = &attribution.shares;
        if attribution.confidence == Confidence::Observed {
            let anonymous = 1.0 - shares.file;
            return if anonymous > 0.0 {
                shares.v8_heap / anonymous
            } else {
                0.0
            };
        }
        let (elsewhere, trend) = self.grown_elsewhere(now);
        if trend > 0 {
            1.0 - (elsewhere as f64 / trend as f64).min(1.0)
        } else {
            1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_limit_comes_first_and_then_a_multiple_of_what_lives() {
        // Node's default in 1 GiB, and 4 GiB told by a flag.
        assert_eq!(threshold(524 * MIB, 20 * MIB), 262 * MIB);
        assert_eq!(threshold(4144 * MIB, 20 * MIB), 512 * MIB);
        assert_eq!(threshold(4144 * MIB, 400 * MIB), 1600 * MIB);
        assert_eq!(threshold(4144 * MIB, 3000 * MIB), 3572 * MIB);
    }

    #[test]
    fn a_limit_far_above_the_containers_is_too_late_and_nodes_own_is_not() {
        assert!(collected_too_late(4144 * MIB, 256 * MIB, 65 * MIB));
        assert!(collected_too_late(4144 * MIB, 1024 * MIB, 300 * MIB));
        for limit in [160, 192, 256, 512] {
            assert!(!collected_too_late(259 * MIB, limit * MIB, 40 * MIB), "{limit}");
        }
        assert!(!collected_too_late(4144 * MIB, 1024 * MIB, 40 * MIB));
    }
}
