//! How near the ceiling is near enough: reads a climb and the run it is in, produces the saturation from which it is
//! `likely`.

use super::{ceiling::v8_ceiling, gates::Evaluation};
use crate::detect::{
    config::DetectConfig,
    history::{run::Run, window::Window},
    thresholds::{
        AFTER_DEATH, BLIND, FEW_STEPS, GROWN_UP, GROWN_UP_HOURS, JOB_HOURS, LARGE_HEAP, LATE, LATE_AND_BUSY,
        LATE_AND_LONG, LAZY, LITTLE, MOST_OF_GROWTH, NEW, NEW_HOURS, PERHAPS_V8, PERHAPS_V8_HOURS, SLOW_DAYS,
        SLOW_GAINED, STAIRCASE, SWINGING, V8_DEFAULT, YOUNG, YOUNG_HOURS,
    },
};

/// Growth that passed the gates.
pub(in crate::detect) struct Climbing<'a> {
    pub config: &'a DetectConfig,
    pub run: &'a Run,
    pub evaluation: &'a Evaluation,
    pub rise: &'a Rise,
    /// Of the run, nanoseconds.
    pub age: u64,
    /// Since the run's start, bytes.
    pub growth: f64,
    /// Infinite where there is none.
    pub ceiling: f64,
    /// A run of this version died that way.
    pub died: bool,
}

impl Climbing<'_> {
    /// Seen over half of the run or more.
    fn long(&self) -> bool {
        self.evaluation.hours >= 0.5 * self.age as f64 / 3.6e12
    }

    fn quickens(&self) -> bool {
        self.evaluation.shape.is_some_and(|shape| shape.quickens().is_some())
    }

    fn straight(&self) -> bool {
        self.evaluation.shape.is_none_or(|shape| shape.slows().is_none())
    }

    /// Five days of steady growth by a quarter of the ceiling: it needs no ceiling within the week.
    pub(in crate::detect) fn slow(&self) -> bool {
        self.age >= self.config.hours(SLOW_DAYS * 24.0)
            && self.long()
            && self.growth >= SLOW_GAINED * self.ceiling
            && self.straight()
            && !self.staircase()
    }

    /// The saturation from which the climb is `likely`.
    pub(in crate::detect) fn needed(&self) -> f64 {
        if self.died {
            return AFTER_DEATH;
        }
        let needed = self.by_age();
        let young = self.age < self.config.hours(YOUNG_HOURS);
        let large_heap = self
            .run
            .ceilings()
            .v8
            .is_some_and(|bytes| bytes >= v8_ceiling(LARGE_HEAP));
        let mut least: f64 = 0.0;
        if young && large_heap {
            least = least.max(LAZY);
        }
        if young && self.growth < LITTLE * self.ceiling {
            least = least.max(SWINGING);
        }
        if self.staircase() {
            least = least.max(STAIRCASE);
        }
        needed.max(least)
    }

    /// Few steps hold most of the run's growth. A climb that began late takes few of the run's buckets as well.
    fn staircase(&self) -> bool {
        let whole = Window::of_span(&self.run.span, self.config.minutes(10.0));
        self.long() && whole.len() >= 24 && whole.steps_that_hold(MOST_OF_GROWTH) <= FEW_STEPS
    }

    /// V8's limit is not known, and the growth was straight for longer than it takes to fill a cache.
    pub(in crate::detect) fn perhaps_v8(&self) -> bool {
        !self.died
            && self.evaluation.hours >= self.config.hours(PERHAPS_V8_HOURS) as f64 / 3.6e12
            && self.long()
            && self.run.now.ceilings.v8.is_none()
            && self.run.cpu_ns.is_some()
            && self.straight()
    }

    fn by_age(&self) -> f64 {
        let age = self.age;
        if self.slow() {
            AFTER_DEATH
        } else if self.perhaps_v8() {
            PERHAPS_V8
        } else if age >= self.config.hours(GROWN_UP_HOURS) && self.long() {
            GROWN_UP
        } else if self.rise.is_sudden(age, self.config) && !self.quickens() {
            if self.rise.busier { LATE_AND_BUSY } else { LATE }
        } else if self.rise.late(age) {
            LATE_AND_LONG
        } else if age < self.config.hours(NEW_HOURS) {
            NEW
        } else if self.run.cpu_ns.is_none() && age < self.config.hours(YOUNG_HOURS) {
            BLIND
        } else {
            YOUNG
        }
    }
}

/// Since when the run has gained most of what it gained.
pub(in crate::detect) struct Rise {
    /// Nanoseconds.
    since: u64,
    /// More is worked since then than before, by half.
    busier: bool,
}

impl Rise {
    /// Of a run whose level after its start was `base` bytes.
    pub(in crate::detect) fn of(run: &Run, base: f64, age: u64) -> Self {
        let width = run.span.width_ns();
        let now = run.span.buckets().next_back().map_or(0.0, |(_, wide)| wide.low.floor());
        let low = base + 0.15 * (now - base).max(0.0);
        let onset = run.span.buckets().rfind(|(_, wide)| wide.low.floor() <= low);
        let (began, work) = onset.map_or((0, 0.0), |(number, wide)| {
            (
                (number + 1).saturating_mul(width).min(age),
                f64::from(wide.low.work).max(0.0),
            )
        });
        let since = age - began;
        let (then, now) = (work / began.max(1) as f64, (run.work - work) / since.max(1) as f64);
        Self {
            since,
            busier: then > 0.0 && now > 1.5 * then,
        }
    }

    /// It began late in the run and has lasted no longer than a job.
    pub(in crate::detect) fn is_sudden(&self, age: u64, config: &DetectConfig) -> bool {
        self.late(age) && self.since < config.hours(JOB_HOURS)
    }

    /// In a small part of the run.
    fn late(&self, age: u64) -> bool {
        self.since < age / 2
    }
}

/// How much of the way from a floor to the ceiling lies before the level at which most Node.js processes die of V8's limit
/// where nobody set it.
pub(in crate::detect) fn share_to_v8(floor: f64, ceiling: f64) -> f64 {
    let rise = ceiling - floor;
    if rise > 0.0 && ceiling.is_finite() && floor < V8_DEFAULT * ceiling {
        (V8_DEFAULT * ceiling - floor) / rise
    } else {
        1.0
    }
}
