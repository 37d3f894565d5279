//! A gate as a question with its answer: reads what was measured, produces a line.

use observer_core::{detect::Gate, telemetry::units::seconds as duration};

const MIB: f64 = 1_048_576.0;

/// A gate as a question with its answer.
pub(super) fn question(gate: &Gate) -> String {
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
    let needed = if gate.threshold > 1e-300 {
        format!(" (at least {})", unit(gate.threshold))
    } else {
        String::new()
    };
    format!(
        "{} {asked}: {}{needed}",
        if gate.held { "yes" } else { "no " },
        unit(gate.value)
    )
}

/// Bytes as people write them.
pub(super) fn size(bytes: f64) -> String {
    let megabytes = bytes / MIB;
    match megabytes.abs() {
        size if size >= 10_240.0 => format!("{:.1} GiB", megabytes / 1_024.0),
        size if size >= 10.0 => format!("{megabytes:.0} MiB"),
        _ => format!("{megabytes:.1} MiB"),
    }
}
