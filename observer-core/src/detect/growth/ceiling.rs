//! Ceilings: reads limits and earlier deaths, produces the lowest number of bytes at which a
//! run dies.

use crate::{
    detect::history::point::Ceilings,
    finding::{Ceiling, CeilingKind},
};

const MB: u64 = 1 << 20;

/// Above this a limit is none: cgroup v1 writes "no limit" as nearly 2^63, and no host has a pebibyte.
const NO_LIMIT: u64 = 1 << 50;

/// What V8 needs outside its old space before it dies of the heap limit, bytes. Measured: a Node 20 or 26 process died at
/// 293-301 MB with a limit of 259, and at 565-608 with 524.
pub(in crate::detect) const OUTSIDE_HEAP: u64 = 40 * MB;

/// A limit that is one: not 0, not "unlimited".
pub const fn sane(bytes: u64) -> bool {
    bytes > 0 && bytes < NO_LIMIT
}

/// The level of the trend at which a process with this heap limit dies, bytes.
pub const fn v8_ceiling(heap_limit: u64) -> u64 {
    heap_limit.saturating_add(OUTSIDE_HEAP)
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

#[cfg(test)]
mod tests {
    use super::*;

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
