//! A verdict explained: reads it with its evidence, produces sentences and a chart of the runs it stands on.

use std::fmt::Write;

use observer_core::{
    detect::{Gate, State, Verdict},
    finding::{CeilingKind, Confidence, RunSummary},
    telemetry::units::seconds as duration,
};
use ratatui::text::Text;

use super::{
    question::{question, size},
    sawtooth::{Mark, Sawtooth},
};
use crate::terminal::{Look, clean, text as words};

const MIB: f64 = 1_048_576.0;

/// What is known of one container's memory, and what was said of it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its name.
    pub whose: String,
    /// What was said last, or what was asked for; `None` where nothing was said.
    pub verdict: Option<Verdict>,
    /// Everything that was said: seconds after the first level, and the state.
    pub said: Vec<(f64, State)>,
    /// (seconds, bytes), in order of time.
    pub levels: Vec<(f64, f64)>,
    /// Ends of runs.
    pub ends: Vec<Mark>,
    /// The ceiling last known, bytes.
    pub ceiling: Option<f64>,
    /// That it is killed again and again, in a sentence, where it is.
    pub recurring: Option<String>,
    /// What was asked of its growth when that came nearest to being said, where nothing was.
    pub asked: Vec<Gate>,
    /// What grew in its heap, a sentence each, where it was read.
    pub diagnosis: Vec<String>,
}

/// The case in sentences, with a chart.
pub fn explain(case: &Case, look: Look) -> Text<'static> {
    let said = case.verdict.as_ref();
    let mut page = Text::from(format!(
        "{}: {}\n\n",
        clean::name(&case.whose),
        said.map_or(NOTHING, headline)
    ));
    page.extend(sawtooth(case).text(look));
    page.extend(Text::from(in_words(case, look.width)));
    page
}

fn in_words(case: &Case, width: usize) -> String {
    let said = case.verdict.as_ref();
    let mut text = String::from("\n");
    let mut sentences = said.map_or_else(|| quiet(case), sentences);
    sentences.extend(case.recurring.as_ref().map(|recurring| format!("{recurring}.")));
    if case.said.len() > 1 {
        let states = case
            .said
            .iter()
            .map(|(t, state)| format!("{} after {}", state.name(), duration(*t)));
        sentences.push(format!("Said so far: {}.", states.collect::<Vec<_>>().join(", ")));
    }
    for sentence in sentences {
        wrapped(&mut text, &sentence, "", width);
    }
    if !case.diagnosis.is_empty() {
        let _ = writeln!(text, "\nWhat grew in the heap:");
        for sentence in &case.diagnosis {
            wrapped(&mut text, sentence, "  ", width);
        }
    }
    let gates = said.map_or(&case.asked[..], |verdict| &verdict.gates);
    if !gates.is_empty() {
        let nearest = if said.is_none() { " when it came nearest" } else { "" };
        let _ = writeln!(text, "\nWhat was asked, and what was measured{nearest}:");
        for gate in gates {
            let _ = writeln!(text, "  {}", question(gate));
        }
    }
    text
}

const NOTHING: &str = "nothing is said of it";

/// A sentence in lines of at most `width` columns, each begun with `indent`.
fn wrapped(text: &mut String, sentence: &str, indent: &str, width: usize) {
    for line in words::wrapped(sentence, width.saturating_sub(indent.len())) {
        let _ = writeln!(text, "{indent}{line}");
    }
}

/// What there is to say where nothing was said.
fn quiet(case: &Case) -> Vec<String> {
    let levels = case.levels.iter().map(|level| level.1);
    let (low, high) = levels.fold((f64::INFINITY, 0.0f64), |(low, high), level| {
        (low.min(level), high.max(level))
    });
    if high <= 0.0 {
        return vec!["No level of it was seen.".to_owned()];
    }
    let mut said = vec![format!(
        "Its memory lay between {} and {}; no growth of it passed all questions.",
        size(low),
        size(high)
    )];
    if let Some(failed) = case.asked.iter().find(|gate| !gate.held) {
        let held = case.asked.iter().filter(|gate| gate.held).count();
        said.push(format!(
            "It came nearest with {held} questions answered yes; the next failed: {}.",
            question(failed).trim_start_matches("no ").trim()
        ));
    }
    if let Some(ceiling) = case.ceiling {
        said.push(format!("Its ceiling is {}.", size(ceiling)));
    }
    said
}

fn headline(verdict: &Verdict) -> &'static str {
    match verdict.state {
        State::Quiet => NOTHING,
        State::Suspected => "a leak is suspected: its memory grows, and the growth is no noise",
        State::Likely => "a leak is likely: its growth leads to the ceiling",
        State::Confirmed => "a leak is confirmed: run after run climbs alike",
        State::Retracted => "what was said of a leak is retracted",
        State::Resolved => "the leak is gone with this version",
    }
}

/// What is known, a sentence each.
fn sentences(verdict: &Verdict) -> Vec<String> {
    let mut said = vec![format!("Because {}.", verdict.because)];
    let confirmed = verdict.state == State::Confirmed;
    if verdict.slope_bytes_per_hour != 0.0 {
        let (low, high) = verdict.slope_interval;
        let what = if confirmed { "from run to run" } else { "99 % interval" };
        said.push(format!(
            "The floor (what is left after garbage collection) rises by {} an hour ({what} {} to {}), seen over {}.",
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
        said.push(if confirmed {
            format!("The ceiling is {}: {what}.", size(ceiling.bytes as f64))
        } else {
            format!(
                "It stood at {} of {}: {what}.",
                size(verdict.floor as f64),
                size(ceiling.bytes as f64)
            )
        });
    }
    if let Some(forecast) = verdict.time_to_ceiling {
        let what = if confirmed {
            "The next run will live for"
        } else {
            "From then on it takes"
        };
        said.push(format!(
            "{what} {} (eight in ten: {} to {}).",
            duration(forecast.p50),
            duration(forecast.p10),
            duration(forecast.p90)
        ));
    }
    if let Some(attribution) = &verdict.attribution {
        let (place, share) = attribution.largest();
        let how = match (place, attribution.confidence) {
            ("shmem" | "file", _) => "the kernel's own account of the cgroup",
            (_, Confidence::Observed) => "counted from the calls that asked for the memory",
            (_, Confidence::Inferred) => "from the kernel's accounts, which do not tell V8's heap from other memory",
        };
        said.push(format!("{:.0} % of the growth is {place} ({how}).", share * 100.0));
        if place == "shmem" {
            said.push(
                "That is files in memory: a tmpfs such as /dev/shm or an emptyDir of medium Memory, or shared memory. They stay \
                 when the process ends, and where the volume outlives the container the next run begins with them. No heap holds \
                 them: look for who writes there and does not delete."
                    .to_owned(),
            );
        }
    }
    if let Some(read) = &verdict.heap {
        said.push(format!(
            "Its heap was read: of the {} it had grown by, {} were garbage that V8 had not collected; {} were held.",
            size(read.grown as f64),
            size(read.garbage as f64),
            size(read.held as f64)
        ));
    }
    if let Some(version) = &verdict.first_version {
        said.push(format!("First version that shows it: {}.", version.0));
    }
    if let Some(blame) = &verdict.blame {
        if let Some(version) = &blame.introduced_by {
            said.push(format!("It came with version {}.", version.0));
        }
        if let Some(version) = &blame.last_clean {
            said.push(format!("The last version without it was {}.", version.0));
        }
    }
    for run in &verdict.runs {
        said.push(run_in_words(run));
    }
    if let Some(both) = &verdict.comparison {
        for (when, side) in [("before", &both.before), ("after", &both.after)] {
            said.push(format!(
                "{when}: {}, from {} to {}, {:+.1} MiB an hour, lived {}.",
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

/// The levels as they were seen, with the ends of runs.
fn sawtooth(case: &Case) -> Sawtooth {
    let ceiling = case.verdict.as_ref().and_then(|verdict| verdict.ceiling);
    Sawtooth {
        levels: case.levels.clone(),
        ceiling: ceiling.map(|ceiling| ceiling.bytes as f64).or(case.ceiling),
        ends: case.ends.clone(),
    }
}

#[cfg(test)]
mod tests {
    use observer_core::{
        detect::{DetectConfig, Point, RunEnd, SlotDetector},
        exit::Cause,
        finding::Ceiling,
        identity::Version,
        time::{BootTime, SECOND},
    };

    use super::*;
    use crate::terminal::{hostile, rendered};

    #[test]
    fn a_confirmed_leak_is_told_with_its_runs_and_drawn() {
        let mut detector = SlotDetector::new(DetectConfig::default());
        let mut case = Case {
            whose: "shop/cart".to_owned(),
            ..Case::default()
        };
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
            case.verdict = detector.end_run(&RunEnd::new(BootTime((start + 21_600) * SECOND), Cause::KernelOom));
            case.ends.push(Mark {
                at: (start + 21_600) as f64,
                died: true,
                how: "kernel_oom",
            });
        }
        let seconds = |at: BootTime| at.0 as f64 / SECOND as f64;
        let seen = detector.levels();
        case.levels = seen.iter().map(|(at, level)| (seconds(*at), *level as f64)).collect();
        let page = |case: &Case, plain| {
            let look = Look {
                width: 80,
                colour: false,
                plain,
            };
            rendered(explain(case, look), false).as_str().to_owned()
        };
        let plain = page(&case, true);
        assert!(plain.is_ascii(), "{plain}");
        let text = page(&case, false);
        hostile::fits(&text, 80);
        for part in [
            "a leak is confirmed",
            "512 MiB",
            "Run 1: lived 6 h",
            "kernel_oom",
            "✗",
            "runs that climbed alike: 2",
        ] {
            assert!(text.contains(part), "{part:?} missing in\n{text}");
        }
        for name in hostile::names() {
            case.whose = clean::name(&name).into_owned();
            if let Some(verdict) = &mut case.verdict {
                verdict.first_version = Some(Version(name.clone()));
                verdict.because.clone_from(&name);
            }
            case.diagnosis = vec![name];
            hostile::harmless(&page(&case, false));
        }
    }
}
