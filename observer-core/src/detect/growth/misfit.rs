//! Misfits: reads V8's heap limit and the container's limit, says whether they contradict each other and what to set.

use super::{
    ceiling::{OUTSIDE_HEAP, sane},
    garbage::{collected_too_late, threshold},
};
use crate::finding::Misfit;

const MB: u64 = 1 << 20;

/// V8's limit and the container's contradict each other: above it the kernel kills first and no heap is ever collected
/// hard; far below it memory is paid for and never used.
pub fn misfit(heap_limit: u64, cgroup_limit: u64) -> Option<Misfit> {
    if !sane(heap_limit) || !sane(cgroup_limit) {
        return None;
    }
    let fits = fitting_flag(cgroup_limit);
    if collected_too_late(heap_limit, cgroup_limit, 0) {
        let advice = format!(
            "V8 may grow its heap to {} MiB and looks for garbage only from {} MiB on, but the container is killed at {} MiB: \
             garbage alone fills it, and a higher limit only puts that off; set --max-old-space-size={fits}",
            heap_limit / MB,
            threshold(heap_limit, 0) / MB,
            cgroup_limit / MB,
        );
        return Some(Misfit {
            heap_limit,
            cgroup_limit,
            old_space_mib: Some(fits),
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
            old_space_mib: Some(fits),
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
            old_space_mib: Some(fits),
            advice,
        });
    }
    None
}

/// `--max-old-space-size` for a container of this limit, MiB.
pub(in crate::detect) fn fitting_flag(cgroup_limit: u64) -> u64 {
    let outside = OUTSIDE_HEAP.max(cgroup_limit / 10);
    // V8's limit comes out some per cent above the flag (the young generation): the advice leaves room for that.
    cgroup_limit.saturating_sub(outside) / MB * 15 / 16
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
}
