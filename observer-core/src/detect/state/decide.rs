//! The decision: reads growth on one scale and what is known around it, produces the state that is due and the gates that
//! decided. Changes nothing, so that it can also be asked for when nothing is due.

use crate::{
    detect::{
        config::DetectConfig,
        growth::{
            garbage::collected,
            gates::Outcome,
            measure::Growing,
            saturation::{Climbing, Rise, share_to_v8},
        },
        history::run::Run,
        sawtooth::ended::Ended,
        thresholds::{
            BELOW_LIKELY, GAINED, HIGH_WATER, LASTING_MINUTES, LIKELY_WITHIN, OF_AGE, SLOW_WITHIN_DAYS, STILL_RISING,
            SUSPECTED, SUSPECTED_WITHIN,
        },
    },
    finding::{Forecast, Gate, HeapEvidence, State},
};

/// Most that is added for what the floor has risen since it was measured, as a share of the ceiling; never beyond the level
/// now.
const SINCE: f64 = 0.03;

/// What a decision takes into account beside the growth.
pub(super) struct Case<'a> {
    pub config: &'a DetectConfig,
    /// What is said now.
    pub state: State,
    pub run: &'a Run,
    pub ended: Ended<'a>,
    /// The ceiling, bytes; infinite where there is none.
    pub ceiling: f64,
    /// Highest floor at which a verdict on this version was retracted, bytes.
    pub refuted: f64,
    /// What a reading of the heap said.
    pub heap: Option<HeapEvidence>,
}

/// What is due, and what decided it.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// In the order they were evaluated, as far as they were.
    pub outcomes: Vec<Outcome>,
    pub state: Option<State>,
    pub forecast: Option<Forecast>,
    /// It is due, were it not for garbage that V8 may not have collected.
    pub withheld: bool,
}

impl Decision {
    /// Notes a gate and its outcome; gives back whether it held.
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

/// Which state growth that passed the gates is worth, at `age` nanoseconds.
pub(super) fn decide(case: &Case<'_>, growing: &Growing, age: u64) -> Decision {
    let mut decision = Decision::default();
    let (config, run, bytes) = (case.config, case.run, case.ceiling);
    let evaluation = &growing.evaluation;
    let died = case.ended.died();
    // One that ended by itself, and whose like has not yet lived as long, is at its work.
    if let Some(life) = case.ended.work_of_the_last()
        && !decision.at_least("outlives_work", age as f64 / 1e9, life as f64 / 1e9)
    {
        return decision;
    }
    let floor = evaluation.floor;
    // What was retracted once must be exceeded before it is said again.
    if !died && case.refuted > 0.0 && !decision.at_least("above_retracted", floor, case.refuted * HIGH_WATER) {
        return decision;
    }
    let since = run
        .holds
        .get(growing.scale)
        .and_then(|hold| hold.since_ns)
        .unwrap_or(age);
    let span = (evaluation.hours * 3.6e12) as u64;
    let base = run.base();
    let growth = floor - base;
    let rise = Rise::of(run, base, age);
    let sudden = !died && rise.is_sudden(age, config);
    let left = growing
        .time_to_ceiling
        .map_or(u64::MAX, |forecast| (forecast.p50 * 1e9) as u64);
    // Where death is nearer than the wait, waiting helps nobody.
    let wait = config
        .minutes(LASTING_MINUTES)
        .max(span / 10)
        .min(if sudden { u64::MAX } else { left / 4 });
    let held = age.saturating_sub(since);
    if !decision.at_least("lasting", held as f64 / 1e9, wait as f64 / 1e9) {
        return decision;
    }
    // What has stopped by now would be retracted at once.
    let back = (span / 5).max(config.minutes(45.0));
    if !died
        && !growing.troughs
        && let Some(share) = run.rise_of_predicted(age, back, evaluation.slope.median)
        && !decision.at_least("still_rising", share, STILL_RISING)
    {
        return decision;
    }
    // A run dies when the tops of its collection's teeth reach the ceiling, not when its floor does.
    let most = (run.now.trend as f64 - floor).clamp(0.0, SINCE * bytes);
    let gained = if sudden {
        0.0
    } else {
        (evaluation.slope.median * growing.lag).clamp(0.0, most)
    };
    let saturation = (floor + gained) / (bytes - growing.teeth.min(0.2 * bytes));
    let climb = Climbing {
        config,
        run,
        evaluation,
        rise: &rise,
        age,
        growth,
        ceiling: bytes,
        died,
    };
    let needed = climb.needed();
    let (likely_within, suspected_within) = within(&climb);
    let seconds = growing.time_to_ceiling.map_or(f64::MAX, |forecast| forecast.p50);
    let enough = growth >= GAINED * bytes;
    let suspected = case.state != State::Suspected
        && seconds <= suspected_within
        && saturation >= SUSPECTED.max(needed - BELOW_LIKELY)
        && enough
        && held >= wait.saturating_mul(2);
    if bytes.is_finite() {
        decision.at_least("gained", growth, GAINED * bytes);
    }
    // As seconds a second, so that more is nearer.
    decision.at_least("near_in_time", likely_within / seconds.max(1.0), 1.0);
    decision.at_least("level", saturation, needed);
    let likely = !config.job && seconds <= likely_within && saturation >= needed && enough;
    let state = match (likely, suspected) {
        (true, _) => State::Likely,
        (false, true) => State::Suspected,
        (false, false) => return decision,
    };
    if let Some(collected) = collected(case.heap, run, floor, died) {
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
    decision.forecast = match growing.time_to_ceiling {
        Some(forecast) if climb.perhaps_v8() => Some(sooner(forecast)),
        other => other,
    };
    decision.state = Some(state);
    decision
}

/// Seconds within which the ceiling must lie: for `likely`, and for `suspected`.
fn within(climb: &Climbing<'_>) -> (f64, f64) {
    let days = |days: f64| climb.config.hours(days * 24.0) as f64 / 1e9;
    let window = climb.evaluation.hours * 3_600.0;
    let of_age = if climb.died {
        f64::MAX
    } else {
        OF_AGE * climb.age as f64 / 1e9
    };
    let likely = days(LIKELY_WITHIN.0).min(LIKELY_WITHIN.1 * window).min(of_age);
    let slow = if climb.slow() { days(SLOW_WITHIN_DAYS) } else { 0.0 };
    (
        likely.max(slow),
        days(SUSPECTED_WITHIN.0).min(SUSPECTED_WITHIN.1 * window),
    )
}

/// How far an evaluation came: how many gates held, and what share of the first that did not was there.
pub fn progress(gates: &[Gate]) -> f64 {
    let held = gates.iter().filter(|gate| gate.held).count() as f64;
    let failed = gates.iter().find(|gate| !gate.held);
    held + failed.map_or(0.0, |failed| (failed.value / failed.threshold).clamp(0.0, 0.99))
}
