//! Deciding: reads growth on one scale and the run it is in, produces the state that is due and what decided it.
//!
//! [`SlotDetector::decide`] changes nothing, so that it can also be asked when nothing is due ([`SlotDetector::ask`]).

use super::{
    Forecast, Gate, SlotDetector, State, Verdict,
    gates::{self, Outcome},
    judge::{Seen, run_base},
    relent::rises_by,
    slot::{Run, SCALES},
    threshold::{Climbing, Rise, share_to_v8},
};
use crate::exit::Cause;

/// Saturation from which growth is `suspected`.
const SUSPECT: f64 = 0.5;
/// Least growth since the run's start, as a share of the ceiling.
const GAINED: f64 = 0.15;
/// Least share of the foretold rise that was seen lately.
pub(super) const STILL_RISING: f64 = 0.2;
/// Days and multiples of the window within which the ceiling must lie: for `likely`, for `suspected`; and where growth was
/// steady for days.
const LIKELY_WITHIN: (f64, f64) = (7.0, 8.0);
const SUSPECTED_WITHIN: (f64, f64) = (7.0, 4.0);
const SLOW_WITHIN: f64 = 30.0;
/// What was not seen to fail before must be nearer than so many times the run's age.
const OF_AGE: f64 = 1.2;
/// Most that is added for what the floor has risen since it was measured, as a share of the ceiling; never beyond the level
/// now.
const SINCE: f64 = 0.03;

/// What is due, and what decided it.
pub(super) struct Decision {
    /// In the order they were asked, as far as they were.
    outcomes: Vec<Outcome>,
    state: Option<State>,
    forecast: Option<Forecast>,
    /// It is due, were it not for garbage that V8 may not have collected.
    withheld: bool,
}

impl Decision {
    const fn new() -> Self {
        Self {
            outcomes: Vec::new(),
            state: None,
            forecast: None,
            withheld: false,
        }
    }

    /// Notes a question and its answer; gives back whether it held.
    fn at_least(&mut self, name: &'static str, value: f64, threshold: f64) -> bool {
        let held = value >= threshold;
        self.outcomes.push(Outcome {
            name,
            held,
            value,
            threshold,
        });
        held
    }
}

impl SlotDetector {
    /// Raises the state where what was seen is enough.
    pub(super) fn accuse(&mut self, seen: Option<Seen>, age: u64) -> Option<Verdict> {
        let mut seen = seen?;
        if matches!(self.state, State::Likely | State::Confirmed) {
            return None;
        }
        let decision = self.decide(self.run.as_ref()?, &seen, age);
        if decision.state.is_some() || decision.withheld {
            self.run.as_mut()?.withheld = decision.withheld;
        }
        let state = decision.state?;
        seen.evaluation.gates.extend(decision.outcomes);
        Some(self.enter(state, age, &seen.evaluation, decision.forecast))
    }

    /// Which state growth that passed the gates is worth.
    fn decide(&self, run: &Run, seen: &Seen, age: u64) -> Decision {
        let mut decision = Decision::new();
        let died = self.deaths().next().is_some();
        // One that ended by itself, and whose like has not yet lived as long, is at its work.
        if let Some(life) = self.work_of_the_last()
            && !decision.at_least("outlives_work", age as f64 / 1e9, life as f64 / 1e9)
        {
            return decision;
        }
        let floor = seen.evaluation.floor;
        // What was taken back once must be exceeded before it is said again.
        if !died && self.refuted > 0.0 && !decision.at_least("above_retracted", floor, self.refuted * gates::HIGH_WATER)
        {
            return decision;
        }
        let since = run.holds.get(seen.scale).and_then(|hold| hold.since_ns).unwrap_or(age);
        let span = (seen.evaluation.hours * 3.6e12) as u64;
        let growth = floor - run_base(run);
        let rise = Rise::of(run, run_base(run), age);
        let sudden = !died && self.sudden(&rise, age);
        let left = seen
            .time_to_ceiling
            .map_or(u64::MAX, |forecast| (forecast.p50 * 1e9) as u64);
        // Where death is nearer than the wait, waiting helps nobody.
        let wait = self
            .config
            .minutes(20.0)
            .max(span / 10)
            .min(if sudden { u64::MAX } else { left / 4 });
        let held = age.saturating_sub(since);
        if !decision.at_least("lasting", held as f64 / 1e9, wait as f64 / 1e9) {
            return decision;
        }
        // What has stopped by now would be taken back at once.
        let back = (span / 5).max(self.config.minutes(45.0));
        if !died
            && !seen.troughs
            && let Some(share) = rises_by(run, age, back, seen.evaluation.slope.median)
            && !decision.at_least("still_rising", share, STILL_RISING)
        {
            return decision;
        }
        let bytes = self.ceiling().map_or(f64::INFINITY, |ceiling| ceiling.bytes as f64);
        // A run dies when the tops of its collection's teeth reach the ceiling, not when its floor does.
        let most = (run.now.trend as f64 - floor).clamp(0.0, SINCE * bytes);
        let gained = if sudden {
            0.0
        } else {
            (seen.evaluation.slope.median * seen.lag).clamp(0.0, most)
        };
        let saturation = (floor + gained) / (bytes - seen.teeth.min(0.2 * bytes));
        let climb = Climbing {
            evaluation: &seen.evaluation,
            rise: &rise,
            age,
            growth,
            ceiling: bytes,
            died,
        };
        let slow = self.slow(run, &climb);
        let needed = self.needed(run, &climb);
        let (likely_within, suspected_within) = self.within(seen, age, died, slow);
        let seconds = seen.time_to_ceiling.map_or(f64::MAX, |forecast| forecast.p50);
        let enough = growth >= GAINED * bytes;
        let suspected = self.state != State::Suspected
            && seconds <= suspected_within
            && saturation >= SUSPECT.max(needed - 0.15)
            && enough
            && held >= wait.saturating_mul(2);
        if bytes.is_finite() {
            decision.at_least("gained", growth, GAINED * bytes);
        }
        // As seconds a second, so that more is nearer.
        decision.at_least("near_in_time", likely_within / seconds.max(1.0), 1.0);
        decision.at_least("level", saturation, needed);
        let likely = !self.config.job && seconds <= likely_within && saturation >= needed && enough;
        let state = match (likely, suspected) {
            (true, _) => State::Likely,
            (false, true) => State::Suspected,
            (false, false) => return decision,
        };
        if let Some(collected) = self.collected(run, floor, died) {
            decision.withheld = !collected.held;
            decision.outcomes.push(collected);
            if decision.withheld {
                return decision;
            }
        }
        // It may be V8's limit, which nobody told, that ends it.
        let sooner = |forecast: Forecast| Forecast {
            p10: forecast.p10.min(forecast.p50 * share_to_v8(floor, bytes)),
            ..forecast
        };
        decision.forecast = match seen.time_to_ceiling {
            Some(forecast) if self.perhaps_v8(run, &climb) => Some(sooner(forecast)),
            other => other,
        };
        decision.state = Some(state);
        decision
    }

    /// Seconds within which the ceiling must lie: for `likely`, and for `suspected`.
    fn within(&self, seen: &Seen, age: u64, died: bool, slow: bool) -> (f64, f64) {
        let days = |days: f64| self.config.hours(days * 24.0) as f64 / 1e9;
        let window = seen.evaluation.hours * 3_600.0;
        let of_age = if died { f64::MAX } else { OF_AGE * age as f64 / 1e9 };
        let likely = days(LIKELY_WITHIN.0).min(LIKELY_WITHIN.1 * window).min(of_age);
        let slow = if slow { days(SLOW_WITHIN) } else { 0.0 };
        (
            likely.max(slow),
            days(SUSPECTED_WITHIN.0).min(SUSPECTED_WITHIN.1 * window),
        )
    }

    /// How long a run must live that follows one which ended by itself: twice as long.
    fn work_of_the_last(&self) -> Option<u64> {
        let last = self.records.last().filter(|last| last.cause == Cause::Completed)?;
        Some(last.lifetime_ns().saturating_mul(2))
    }

    /// What is asked of the run in progress, and what is measured: of the scale that comes furthest.
    pub fn ask(&self) -> Vec<Gate> {
        let Some(run) = &self.run else { return Vec::new() };
        let age = run.now.at.since(run.started);
        let asked = (0..SCALES).filter_map(|scale| {
            let mut seen = self.measure(scale, age)?;
            if seen.evaluation.passed {
                seen.evaluation.gates.extend(self.decide(run, &seen, age).outcomes);
            }
            Some(seen.evaluation.gates)
        });
        let asked = asked.map(|outcomes| outcomes.iter().map(Outcome::gate).collect::<Vec<Gate>>());
        asked
            .max_by(|a, b| how_far(a).total_cmp(&how_far(b)))
            .unwrap_or_default()
    }
}

/// How far an evaluation came: how many gates held, and what share of the first that did not was there.
pub fn how_far(gates: &[Gate]) -> f64 {
    let held = gates.iter().filter(|gate| gate.held).count() as f64;
    let failed = gates.iter().find(|gate| !gate.held);
    held + failed.map_or(0.0, |failed| (failed.value / failed.threshold).clamp(0.0, 0.99))
}
