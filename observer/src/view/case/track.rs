//! A case that is being collected: reads levels, ends and what is said as they come, produces the case, bounded.

use observer_core::{
    detect::{Gate, progress},
    exit::Cause,
    telemetry::Severity,
    time::{BootTime, SECOND, WallTime},
};

use super::{Case, HAPPENED, Happened};
use crate::view::sawtooth::Mark;

/// Levels kept of a container: beyond it every other one is left out, and from there on.
const MOST: usize = 8_192;

/// One level in so many is followed by asking how near the growth comes to being said.
const ASK_EVERY: usize = 16;

/// A case that is being collected.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) case: Case,
    /// One in so many levels is kept.
    every: usize,
    passed: usize,
    pub(super) began: Option<f64>,
    pub(super) run: Option<u64>,
    pub(super) last: f64,
    levels: usize,
}

impl Track {
    pub(super) fn level(&mut self, t: f64, bytes: f64) {
        let since = t - *self.began.get_or_insert(t);
        self.last = since;
        self.passed += 1;
        if self.passed >= self.every.max(1) {
            self.passed = 0;
            self.case.levels.push((since, bytes));
        }
        if self.case.levels.len() >= MOST {
            let mut keep = false;
            self.case.levels.retain(|_| {
                keep = !keep;
                keep
            });
            self.every = self.every.max(1) * 2;
        }
    }

    /// Keeps what came nearest of what is asked of the growth; `ask` is expensive, so only now and then.
    pub(super) fn asked(&mut self, end: bool, ask: impl FnOnce() -> Vec<Gate>) {
        self.levels += 1;
        if !end && !self.levels.is_multiple_of(ASK_EVERY) {
            return;
        }
        let asked = ask();
        if !asked.is_empty() && progress(&asked) >= progress(&self.case.asked) {
            self.case.asked = asked;
        }
    }

    pub(super) fn end(&mut self, at: f64, cause: Option<Cause>) {
        self.case.ends.push(mark(at, cause));
    }

    pub(super) fn since(&self, t: f64) -> f64 {
        (t - self.began.unwrap_or(t)).max(0.0)
    }

    pub(super) fn happened(&mut self, wall: Option<WallTime>, since: f64, severity: Severity, what: String) {
        if self.case.happened.len() >= HAPPENED {
            self.case.happened.remove(0);
        }
        self.case.happened.push(Happened {
            wall,
            since,
            severity,
            what,
        });
    }
}

/// An end; of some it is only known that another run began.
pub(super) fn mark(at: f64, cause: Option<Cause>) -> Mark {
    Mark {
        at,
        died: cause.is_some_and(Cause::at_ceiling),
        how: cause.map_or("restarted", Cause::name),
    }
}

pub(super) fn seconds(at: BootTime) -> f64 {
    at.0 as f64 / SECOND as f64
}
