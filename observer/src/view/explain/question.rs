//! A gate as a question with its answer: reads what was measured, produces a line.

use observer_core::{detect::Gate, telemetry::units::seconds as duration};

use crate::view::wording::size;

/// A question, what was measured, and what it was measured against.
pub(in crate::view) struct Answer {
    /// Whether it was answered yes.
    pub(in crate::view) held: bool,
    /// What was asked.
    pub(in crate::view) asked: String,
    /// What was measured.
    pub(in crate::view) measured: String,
    /// The least that would have done, where there is one.
    pub(in crate::view) needed: Option<String>,
}

/// A gate as a question with its answer, in a line.
pub(in crate::view) fn question(gate: &Gate) -> String {
    let answer = answer(gate);
    let needed = answer
        .needed
        .map_or_else(String::new, |needed| format!(" (at least {needed})"));
    let held = if answer.held { "yes" } else { "no " };
    format!("{held} {}: {}{needed}", answer.asked, answer.measured)
}

/// A gate as a question with its answer.
pub(in crate::view) fn answer(gate: &Gate) -> Answer {
    let bytes = |value: f64| size(value);
    let rate = |value: f64| format!("{} an hour", size(value));
    let number = |value: f64| {
        if value >= 1e6 {
            "more than can be told".to_owned()
        } else {
            format!("{value:.3}")
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
        }
    };
    let seconds = |value: f64| duration(value);
    let (asked, unit): (&str, &dyn Fn(f64) -> String) = match gate.name.as_str() {
        "size" => ("grown by enough", &bytes),
        "high_water" => ("above everything this run held before", &bytes),
        "history" => ("above what bounded runs reached", &bytes),
        "monotone_floor" => ("steps between eight floors that rise", &number),
        "drift" => ("mean step over its standard error", &number),
        "significance" => ("lower end of the slope's 99 % interval above 0", &rate),
        "not_saturating" => ("last third's slope over the whole's", &number),
        "load_adjusted" => ("share of the slope that load does not explain", &number),
        "load_adjusted_t" => ("and how far that lies above chance", &number),
        "model" => ("how directly the best curve leads to the ceiling", &number),
        "troughs_rise" => ("troughs between teeth that rise", &number),
        "troughs_straight" => ("share of the troughs' variance that a line explains", &number),
        "whole_run" => ("the whole run leads there as the window does", &number),
        "outlives_work" => ("twice as old as the run before, which completed", &seconds),
        "above_retracted" => ("above the level at which it was taken back", &bytes),
        "lasting" => ("held for long enough", &seconds),
        "still_rising" => ("share of the foretold rise that was seen lately", &number),
        "gained" => ("grown by enough since the start", &bytes),
        "near_in_time" => ("times the forecast fits into the time allowed", &number),
        "level" => ("share of the ceiling that is reached", &number),
        "collected" => ("beyond what V8 may have left uncollected", &bytes),
        "alike" => ("runs that climbed alike", &number),
        other => (other, &number),
    };
    Answer {
        held: gate.held,
        asked: asked.to_owned(),
        measured: unit(gate.value),
        needed: (gate.threshold > 1e-300).then(|| unit(gate.threshold)),
    }
}
