//! Runs and versions in sentences: reads what a verdict compared, produces a sentence each.

use observer_core::{detect::Comparison, finding::RunSummary, telemetry::units::seconds as duration};

use crate::view::wording::size;

const MIB: f64 = 1_048_576.0;

/// A version that leaked beside one that does not.
pub(super) fn compared(both: &Comparison) -> Vec<String> {
    let sides = [("before", &both.before), ("after", &both.after)];
    sides
        .into_iter()
        .map(|(when, side)| {
            format!(
                "{when}: {}, from {} to {}, {:+.1} MiB an hour, lived {}.",
                side.version
                    .as_ref()
                    .map_or("version unknown", |version| version.0.as_str()),
                size(side.baseline as f64),
                size(side.peak as f64),
                side.slope_bytes_per_hour / MIB,
                duration(side.lifetime_s)
            )
        })
        .collect()
}

/// An ended run.
pub(super) fn run_in_words(run: &RunSummary) -> String {
    format!(
        "Run {}: lived {}, peaked at {}, ended by {}.",
        run.run,
        duration(run.duration_ns() as f64 / 1e9),
        size(run.peak as f64),
        run.cause().name()
    )
}
