//! The watchdog: readers leave a sign of life, and who has left none for too long is named.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use observer_core::time::BootTime;

use crate::clock;

/// How late a sign of life may be on a busy host.
const BUSY: Duration = Duration::from_secs(1);

/// One reader's sign of life.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    /// Who.
    pub(super) name: &'static str,
    /// How often it should show.
    interval: Duration,
    last: Arc<AtomicU64>,
    /// How long its last round of work took, nanoseconds.
    work: Arc<AtomicU64>,
}

impl Heartbeat {
    pub(super) fn new(name: &'static str, interval: Duration) -> Self {
        Self {
            name,
            interval,
            last: Arc::new(AtomicU64::new(clock::boot().0)),
            work: Arc::new(AtomicU64::new(0)),
        }
    }

    /// It lives, and its last round took this long.
    pub(super) fn beat(&self, since: BootTime) {
        let now = clock::boot();
        self.last.store(now.0, Relaxed);
        self.work.store(now.since(since), Relaxed);
    }

    /// Duration of the last round.
    pub(super) fn work(&self) -> Duration {
        Duration::from_nanos(self.work.load(Relaxed))
    }

    /// For how long it has been silent, where that is longer than one and a half of its intervals, and for short ones a
    /// second longer than one: with the time until somebody looks, two intervals at most, or three seconds.
    pub(super) fn stalled(&self, now: BootTime) -> Option<Duration> {
        let silent = Duration::from_nanos(now.since(BootTime(self.last.load(Relaxed))));
        let patience = self.interval + (self.interval / 2).max(BUSY);
        (silent > patience).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use observer_core::time::SECOND;

    use super::*;

    #[test]
    fn silence_is_told_after_two_intervals() {
        let heartbeat = Heartbeat::new("sampler", Duration::from_secs(10));
        let now = clock::boot();
        heartbeat.beat(now);
        assert_eq!(heartbeat.stalled(now.plus(14 * SECOND)), None);
        // The loop looks once a second.
        assert!(heartbeat.stalled(now.plus(19 * SECOND)).is_some());
        let fast = Heartbeat::new("rings", Duration::from_millis(200));
        fast.beat(now);
        assert_eq!(fast.stalled(now.plus(SECOND)), None);
        assert!(fast.stalled(now.plus(2 * SECOND)).is_some());
    }
}
