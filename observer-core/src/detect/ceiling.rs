//! Ceilings: reads limits and earlier deaths, produces the lowest number of bytes at which a
//! run dies.

use super::{Ceilings, record::Record, stats::median};
use crate::finding::{Ceiling, CeilingKind, Misfit};

const MB: u64 = 1 << 20;

/// Above this a limit is none: cgroup v1 writes "no limit" as nearly 2^63, and no host has a pebibyte.
const NO_LIMIT: u64 = 1 << 50;

/// What V8 needs outside its old space before it dies of the heap limit, bytes. Measured: a Node 20 or 26 process died at
/// 293-301 MB with a limit of 259, and at 565-608 with 524.
pub(super) const OUTSIDE_HEAP: u64 = 40 * MB;

/// A limit that is one: not 0, not "unlimited".
pub const fn sane(bytes: u64) -> bool {
    bytes > 0 && bytes < NO_LIMIT
}

/// The level of the trend at which a process with this heap limit dies, bytes.
pub const fn v8_ceiling(heap_limit: u64) -> u64 {
    heap_limit.saturating_add(OUTSIDE_HEAP)
}

/// The level at which earlier runs of a version died, bytes: the median peak of those that rose to it.
///
/// A run killed at a cgroup limit other than today's teaches nothing of today's.
pub fn learned(records: &[Record], generation: u32, now: &Ceilings) -> Option<u64> {
    let mut peaks: Vec<f64> = records
        .iter()
        .filter(|record| record.generation == generation && record.at_ceiling() && record.rose())
        .filter(|record| match (record.ceiling, now.cgroup) {
            (Some(then), Some(now))
                if then.kind != CeilingKind::V8Heap && record.cause != crate::exit::Cause::V8HeapOom =>
            {
                super::record::within(then.bytes as f64, now.bytes as f64, 1.02) || then.kind == CeilingKind::Learned
            }
            _ => true,
        })
        .map(|record| record.peak_bytes() as f64)
        .collect();
    (!peaks.is_empty()).then(|| median(&mut peaks) as u64)
}

/// The ceiling a run of this slot is heading for.
pub fn effective(now: &Ceilings, learned: Option<u64>, host: Option<u64>) -> Option<Ceiling> {
    let cgroup = now.cgroup.filter(|ceiling| sane(ceiling.bytes));
    let v8 = now.v8.filter(|bytes| sane(*bytes)).map(|bytes| Ceiling {
        bytes,
        kind: CeilingKind::V8Heap,
    });
    let host = host.filter(|bytes| sane(*bytes)).map(|bytes| Ceiling {
        bytes,
        kind: CeilingKind::Host,
    });
    let lowest = [cgroup, v8, host]
        .into_iter()
        .flatten()
        .min_by_key(|ceiling| ceiling.bytes);
    // A death at a level is worth more than a prediction, unless a limit now lies below it.
    match (learned, cgroup) {
        (Some(bytes), Some(limit)) if bytes < limit.bytes => Some(Ceiling {
            bytes,
            kind: CeilingKind::Learned,
        }),
        (Some(bytes), None) => Some(Ceiling {
            bytes,
            kind: CeilingKind::Learned,
        }),
        (Some(_), Some(limit)) => Some(limit),
        (None, _) => lowest,
    }
}

/// The ceilings that hold, one of each kind; the lowest is the [`effective`] one.
pub fn in_force(now: &Ceilings, learned: Option<u64>, host: Option<u64>) -> Vec<Ceiling> {
    let of = |bytes, kind| Ceiling { bytes, kind };
    let cgroup = now.cgroup.filter(|ceiling| sane(ceiling.bytes));
    // A death at a level replaces the prediction of one.
    let v8 = now.v8.filter(|bytes| sane(*bytes) && learned.is_none());
    let host = host.filter(|bytes| sane(*bytes) && learned.is_none());
    let host = host.filter(|bytes| cgroup.is_none_or(|cgroup| *bytes < cgroup.bytes));
    [
        cgroup,
        v8.map(|bytes| of(bytes, CeilingKind::V8Heap)),
        learned.map(|bytes| of(bytes, CeilingKind::Learned)),
        host.map(|bytes| of(bytes, CeilingKind::Host)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// V8's limit and the container's contradict each other: above it the kernel kills first and no heap is ever collected
/// hard; far below it memory is paid for and never used.
pub fn misfit(heap_limit: u64, cgroup_limit: u64) -> Option<Misfit> {
    if !sane(heap_limit) || !sane(cgroup_limit) {
        return None;
    }
    let outside = OUTSIDE_HEAP.max(cgroup_limit / 10);
    // V8's limit comes out some per cent above the flag (the young generation): the advice leaves room for that.
    let fits = cgroup_limit.saturating_sub(outside) / MB * 15 / 16;
    if super::garbage::collected_too_late(heap_limit, cgroup_limit, 0) {
        let advice = format!(
            "V8 may grow its heap to {} MiB and looks for garbage only from {} MiB on, but the container is killed at {} MiB: \
             garbage alone fills it, and a higher limit only puts that off; set --max-old-space-size={fits}",
            heap_limit / MB,
            super::garbage::threshold(heap_limit, 0) / MB,
            cgroup_limit / MB,
        );
        return Some(Misfit {
            heap_limit,
            cgroup_limit,
            advice,
        });
    }
    if heap_limit > cgroup_limit.saturating_sub(OUTSIDE_HEAP) {
        let advice = format!(
            "V8 may grow its heap to {} MiB, but the container is killed at {} MiB: set --max-old-space-size={fits}, or raise the container's limit to {} MiB",
            heap_limit / MB,
            cgroup_limit / MB,
            (heap_limit + heap_limit / 10 + OUTSIDE_HEAP) / MB,
        );
        return Some(Misfit {
            heap_limit,
            cgroup_limit,
            advice,
        });
    }
    if heap_limit.saturating_mul(4) < cgroup_limit && cgroup_limit - heap_limit > 512 * MB {
        let advice = format!(
            "V8 ends the process at a heap of {} MiB, a quarter of the container's {} MiB or less: set --max-old-space-size={fits} where the heap should use it, or lower the container's limit",
            heap_limit / MB,
            cgroup_limit / MB,
        );
        return Some(Misfit {
            heap_limit,
            cgroup_limit,
            advice,
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_is_told_both_ways() {
        assert!(misfit(512 * MB, 512 * MB).is_some_and(|m| m.advice.contains("killed at 512 MiB")));
        assert!(misfit(259 * MB, 2048 * MB).is_some_and(|m| m.advice.contains("a quarter")));
        assert!(misfit(4144 * MB, 256 * MB).is_some_and(|m| m.advice.contains("set --max-old-space-size=202")));
        assert_eq!(misfit(259 * MB, 512 * MB), None);
        assert_eq!(misfit(0, 512 * MB), None);
        assert_eq!(misfit(259 * MB, 1 << 63), None);
    }

    #[test]
    fn nonsense_limits_are_none() {
        let nonsense = |bytes| Ceilings {
            cgroup: Some(Ceiling {
                bytes,
                kind: CeilingKind::Cgroup,
            }),
            v8: None,
        };
        assert_eq!(effective(&nonsense(0), None, None), None);
        assert_eq!(effective(&nonsense(1 << 63), None, None), None);
        assert_eq!(effective(&nonsense(u64::MAX), Some(7), None).map(|c| c.bytes), Some(7));
    }
}
