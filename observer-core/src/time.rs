//! Time as the core knows it: nanoseconds since boot, with an anchor to wall-clock time.

use serde::{Deserialize, Serialize};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Clock ticks a second in `/proc` (`USER_HZ`, 100 on every architecture Linux supports today).
pub const USER_HZ: u64 = 100;

/// An instant: nanoseconds of `CLOCK_BOOTTIME`. It does not jump, and it counts while the host sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl BootTime {
    /// Nanoseconds from `earlier` to `self`; 0 where `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant plus `ns` nanoseconds.
    #[must_use]
    pub const fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// An instant of wall-clock time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

/// One instant on both clocks. Re-taken now and then, since the wall clock is stepped and slewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The instant since boot.
    pub boot: BootTime,
    /// The same instant on the wall clock.
    pub wall: WallTime,
}

impl Anchor {
    /// The wall-clock time of a boot-time instant, by this anchor.
    pub const fn wall(&self, at: BootTime) -> WallTime {
        if at.0 >= self.boot.0 {
            WallTime(self.wall.0.saturating_add(at.0 - self.boot.0))
        } else {
            WallTime(self.wall.0.saturating_sub(self.boot.0 - at.0))
        }
    }
}
