//! When the engine's state is put away: reads what CPU time it took the last time, produces a rate that costs next to nothing.

use std::time::{Duration, Instant};

use observer_core::Engine;

use crate::{clock, store::History};

/// Soonest after the time before, where something was found since.
const SOON: Duration = Duration::from_secs(2);
/// The loop spends at most one part in so many of a core on it: 0.2 %.
const SHARE: u32 = 500;

/// Puts the engine's state away now and then.
#[derive(Debug)]
pub(super) struct Checkpointer {
    history: History,
    interval: Duration,
    last: Instant,
    /// CPU time that it took the last time: what others take of a busy host meanwhile makes no state older.
    took: Duration,
    findings: u64,
}

impl Checkpointer {
    pub(super) fn new(history: History, interval: Duration) -> Self {
        Self {
            history,
            interval,
            last: Instant::now(),
            took: Duration::ZERO,
            findings: 0,
        }
    }

    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    /// Puts it away where it is time: at every interval, and soon after a finding, whose id a successor that knew
    /// nothing of it would give away again.
    pub(super) fn tick(&mut self, engine: &Engine) {
        let since = self.last.elapsed();
        let wait = if engine.counts().findings == self.findings {
            self.interval
        } else {
            self.interval.min(SOON)
        };
        if since >= wait.max(self.took * SHARE) {
            self.keep(engine);
        }
    }

    /// Puts it away.
    pub(super) fn keep(&mut self, engine: &Engine) {
        let started = clock::own_cpu();
        self.history.keep_state(engine);
        self.findings = engine.counts().findings;
        self.took = clock::own_cpu().saturating_sub(started);
        self.last = Instant::now();
    }
}
