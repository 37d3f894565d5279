//! The only clock: reads the host's, produces instants of boot time, anchors to the wall clock, and CPU time.

use std::time::Duration;

use observer_core::time::{Anchor, BootTime, SECOND, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Now, by `CLOCK_BOOTTIME`: the clock of the kernel's records.
pub(crate) fn boot() -> BootTime {
    BootTime(nanoseconds(ClockId::Boottime))
}

/// Now, on both clocks.
pub(crate) fn anchor() -> Anchor {
    let before = nanoseconds(ClockId::Boottime);
    let wall = nanoseconds(ClockId::Realtime);
    let after = nanoseconds(ClockId::Boottime);
    Anchor {
        boot: BootTime(before + (after - before) / 2),
        wall: WallTime(wall),
    }
}

/// CPU time of the thread that asks.
pub(crate) fn own_cpu() -> Duration {
    Duration::from_nanos(nanoseconds(ClockId::ThreadCPUTime))
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // No clock is before its epoch on a running host.
    time.tv_sec.cast_unsigned() * SECOND + time.tv_nsec.cast_unsigned()
}
