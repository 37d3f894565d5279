//! A verdict explained: reads it with its evidence, produces sentences and a chart of the runs it stands on.

use std::fmt::Write;

use observer_core::{
    detect::{Gate, State, Verdict},
    finding::{CeilingKind, Confidence, RunSummary},
};

use super::sketch::{Chart, Mark, duration};

const MIB: f64 = 1_048_576.0;

/// The verdict in sentences, and a chart `width` columns wide.
pub fn explain(whose: &str, verdict: &Verdict, width: usize, colour: bool) -> String {
    let mut text = format!("{whose}: {}\n\n", headline(verdict));
    let chart = sketch(verdict, width, colour);
    if !chart.is_empty() {
        let _ = writeln!(text, "{chart}");
    }
    for sentence in sentences(verdict) {
        let _ = writeln!(text, "{sentence}");
    }
    if !verdict.gates.is_empty() {
        let _ = writeln!(text, "\nWhat was asked, and what was measured:");
        for gate in &verdict.gates {
            let _ = writeln!(text, "  {}", question(gate));
        }
    }
    text
}

fn headline(verdict: &Verdict) -> &'static str {
    match verdict.state {
        State::Quiet => "nothing is said of it",
        State::Suspected => "a leak is suspected: its memory grows, and the growth is no noise",
        State::Likely => "a leak is likely: its growth leads to the ceiling",
        State::Confirmed => "a leak is confirmed: run after run climbs alike",
        State::Retracted => "the accusation is taken back",
        State::Resolved => "the leak is gone with this version",
    }
}

fn size(bytes: f64) -> String {
    format!("{:.0} MB", bytes / MIB)
}

/// What is known, a sentence each.
fn sentences(verdict: &Verdict) -> Vec<String> {
    let mut said = vec![format!("Because {}.", verdict.because)];
    if verdict.slope_bytes_per_hour != 0.0 {
        let (low, high) = verdict.slope_interval;
        said.push(format!(
            "The floor (what is left after garbage collection) rises by {} an hour (99 % interval {} to {}), seen over {}.",
            size(verdict.slope_bytes_per_hour),
            size(low),
            size(high),
            duration(verdict.span_ns as f64 / 1e9)
        ));
    }
    if let Some(ceiling) = verdict.ceiling {
        let what = match ceiling.kind {
            CeilingKind::Cgroup => "the container's memory limit",
            CeilingKind::CgroupAncestor => "the memory limit of a group above the container",
            CeilingKind::V8Heap => "V8's heap limit and what lies outside the heap",
            CeilingKind::Learned => "the level at which earlier runs died",
            CeilingKind::Host => "the host's memory",
        };
        said.push(format!(
            "It stands at {} of {}: {what}.",
            size(verdict.floor as f64),
            size(ceiling.bytes as f64)
        ));
    }
    if let Some(forecast) = verdict.time_to_ceiling {
        said.push(format!(
            "It will be there in {} (eight in ten: {} to {}).",
            duration(forecast.p50),
            duration(forecast.p10),
            duration(forecast.p90)
        ));
    }
    if let Some(attribution) = &verdict.attribution {
        let (place, share) = attribution.largest();
        let how = match attribution.confidence {
            Confidence::Observed => "counted from the calls that asked for the memory",
            Confidence::Inferred => "from the kernel's accounts, which do not tell V8's heap from other memory",
        };
        said.push(format!("{:.0} % of the growth is {place} ({how}).", share * 100.0));
    }
    if let Some(version) = &verdict.first_version {
        said.push(format!("First version that shows it: {}.", version.0));
    }
    for run in &verdict.runs {
        said.push(run_in_words(run));
    }
    if let Some(both) = &verdict.comparison {
        for (when, side) in [("before", &both.before), ("after", &both.after)] {
            said.push(format!(
                "{when}: {}, from {} to {}, {:+.1} MB an hour, lived {}.",
                side.version
                    .as_ref()
                    .map_or("version unknown", |version| version.0.as_str()),
                size(side.baseline as f64),
                size(side.peak as f64),
                side.slope_bytes_per_hour / MIB,
                duration(side.lifetime_s)
            ));
        }
    }
    said
}

fn run_in_words(run: &RunSummary) -> String {
    format!(
        "Run {}: lived {}, peaked at {}, ended by {}.",
        run.run,
        duration(run.duration_ns() as f64 / 1e9),
        size(run.peak as f64),
        run.cause().name()
    )
}

/// The runs as straight climbs to their peaks: a verdict keeps their slopes and peaks, not their samples.
fn sketch(verdict: &Verdict, width: usize, colour: bool) -> String {
    let mut levels = Vec::new();
    let mut marks = Vec::new();
    let Some(zero) = verdict.runs.first().map(|run| run.started) else {
        return String::new();
    };
    for run in &verdict.runs {
        let (start, length) = (run.started.since(zero) as f64 / 1e9, run.duration_ns() as f64 / 1e9);
        let climbed = run.slope_bytes_per_hour.unwrap_or(0.0) * length / 3_600.0;
        let base = (run.peak as f64 - climbed).max(0.0);
        levels.extend((0..=40).map(|step| {
            let share = f64::from(step) / 40.0;
            (start + share * length, base + share * (run.peak as f64 - base))
        }));
        marks.push(Mark {
            at: start + length,
            died: run.cause().at_ceiling(),
        });
    }
    Chart {
        levels,
        ceiling: verdict.ceiling.map(|ceiling| ceiling.bytes as f64),
        marks,
        width,
        height: 8,
        colour,
    }
    .draw()
}

/// A gate as a question with its answer.
fn question(gate: &Gate) -> String {
    let asked = match gate.name.as_str() {
        "size" => "grown by enough (bytes)",
        "high_water" => "above everything this run held before (bytes)",
        "history" => "above what bounded runs reached (bytes)",
        "monotone_floor" => "steps between eight floors that rise",
        "drift" => "mean step over its standard error",
        "significance" => "lower end of the slope's 99 % interval (bytes an hour)",
        "not_saturating" => "last third's slope over the whole's",
        "load_adjusted" => "share of the slope that load does not explain",
        "load_adjusted_t" => "and its t",
        "model" => "how directly the best curve leads to the ceiling",
        "alike" => "runs that climbed alike",
        other => other,
    };
    format!(
        "{} {asked}: {} (at least {})",
        if gate.held { "yes" } else { "no " },
        gate.value,
        gate.threshold
    )
}

#[cfg(test)]
mod tests {
    use observer_core::{
        detect::{DetectConfig, Point, RunEnd, SlotDetector},
        exit::Cause,
        finding::Ceiling,
        time::{BootTime, SECOND},
    };

    use super::*;

    #[test]
    fn a_confirmed_leak_is_told_with_its_runs_and_drawn() {
        let mut detector = SlotDetector::new(DetectConfig::default());
        let mut verdict = None;
        for run in 0..2u64 {
            let start = run * 22_000;
            detector.begin_run(run, BootTime(start * SECOND), None);
            for step in 0..=360u64 {
                let point = Point {
                    at: BootTime((start + step * 60) * SECOND),
                    trend: (64 << 20) + step * (448 << 20) / 360,
                    ceilings: observer_core::detect::Ceilings {
                        cgroup: Some(Ceiling {
                            bytes: 512 << 20,
                            kind: CeilingKind::Cgroup,
                        }),
                        v8: None,
                    },
                    ..Point::default()
                };
                detector.observe(&point);
            }
            verdict = detector.end_run(&RunEnd::new(BootTime((start + 21_600) * SECOND), Cause::KernelOom));
        }
        let text = explain("shop/cart", &verdict.unwrap(), 80, false);
        for part in [
            "a leak is confirmed",
            "512 MB",
            "Run 1: lived 6.0 h",
            "kernel_oom",
            "✗",
            "runs that climbed alike: 2",
        ] {
            assert!(text.contains(part), "{part:?} missing in\n{text}");
        }
    }
}
