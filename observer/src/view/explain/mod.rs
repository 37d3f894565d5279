//! A verdict explained: reads it with its evidence, produces sentences and a chart of the runs it stands on.

mod advice;
pub(super) mod question;
mod runs;

use std::fmt::Write;

use observer_core::{
    detect::{Gate, State, Verdict},
    finding::{CeilingKind, Confidence},
    telemetry::{
        grew,
        units::{rate, seconds as duration},
        whereabouts,
    },
};
use ratatui::text::Text;

use advice::advice;
use question::question;
use runs::{compared, run_in_words};

use super::{
    case::Case,
    sawtooth::Sawtooth,
    wording::{NOTHING, headline, interval, size, times, whose},
};
use crate::terminal::{Look, clean, text as words};

/// The case in sentences, with a chart.
pub fn explain(case: &Case, look: Look) -> Text<'static> {
    let mut page = Text::from(format!("{}: {}\n\n", clean::name(&case.whose), in_one_sentence(case)));
    page.extend(sawtooth(case).text(look));
    page.extend(Text::from(in_words(case, look.width)));
    page
}

fn in_words(case: &Case, width: usize) -> String {
    let said = case.verdict.as_ref();
    let mut text = String::from("\n");
    let mut sentences = known(case);
    if let Some(verdict) = said {
        sentences.extend(verdict.runs.iter().map(run_in_words));
        sentences.extend(verdict.comparison.iter().flat_map(compared));
    }
    sentences.extend(so_far(case));
    for sentence in sentences {
        wrapped(&mut text, &sentence, "", width);
    }
    let grew = case.diagnosis.as_ref().map(grew).unwrap_or_default();
    if !grew.is_empty() {
        let _ = writeln!(text, "\nWhat grew in the heap:");
        for sentence in &grew {
            wrapped(&mut text, sentence, "  ", width);
        }
    }
    let whereabouts = case.diagnosis.as_ref().map(whereabouts).unwrap_or_default();
    if !whereabouts.is_empty() {
        let _ = writeln!(text, "\nWhere the memory is:");
        for sentence in &whereabouts {
            wrapped(&mut text, sentence, "  ", width);
        }
    }
    let gates = gates(case);
    if !gates.is_empty() {
        let nearest = if said.is_none() { " when it came nearest" } else { "" };
        let _ = writeln!(text, "\nWhat was asked, and what was measured{nearest}:");
        for gate in gates {
            let _ = writeln!(text, "  {}", question(gate));
        }
    }
    text
}

/// What is known of its memory, a sentence each; its runs and versions aside.
pub(in crate::view) fn known(case: &Case) -> Vec<String> {
    let mut known = case.verdict.as_ref().map_or_else(|| quiet(case), sentences);
    if let (Some(left), Some((_, level)), Some(ceiling)) =
        (case.time_left(), case.levels.last(), case.ceiling_in_force())
    {
        known.push(format!(
            "Now it stands at {} of {}, and gets there in {}.",
            size(*level),
            size(ceiling),
            duration(left)
        ));
    }
    known.extend(case.recurring.as_ref().map(|recurring| format!("{recurring}.")));
    if case.deaths() > 0 {
        known.push(format!(
            "In all that was seen of it, it died at its ceiling {}.",
            times(case.deaths())
        ));
    }
    if case.verdict.is_none() {
        known.extend(
            case.near
                .as_ref()
                .map(|near| format!("It came close to its ceiling: {near}.")),
        );
    }
    known.extend(advice(case));
    known
}

/// What was said so far, where that is more than one thing.
fn so_far(case: &Case) -> Option<String> {
    let states = case.said.iter();
    let states = states.map(|(t, state)| format!("{} after {}", state.name(), duration(*t)));
    let states: Vec<String> = states.collect();
    (states.len() > 1).then(|| format!("Said so far: {}.", states.join(", ")))
}

/// What was asked: of the verdict, or of the growth that came nearest to one.
fn gates(case: &Case) -> &[Gate] {
    case.verdict.as_ref().map_or(&case.asked[..], |verdict| &verdict.gates)
}

/// What is said of it, in one sentence.
pub(in crate::view) fn in_one_sentence(case: &Case) -> String {
    if let Some(verdict) = &case.verdict {
        return headline(verdict).to_owned();
    }
    let also = match case.deaths() {
        0 if case.recurring.is_some() => "it is killed for memory again and again".to_owned(),
        0 if case.near.is_some() => "it came close to its ceiling".to_owned(),
        0 if case.misfit.is_some() => "its limits do not fit each other".to_owned(),
        0 => return NOTHING.to_owned(),
        deaths => format!("it died at its ceiling {}", times(deaths)),
    };
    format!("no leak is told of it, but {also}")
}

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
    if let Some(ceiling) = case.current.as_ref().and_then(|run| run.ceiling) {
        let (bytes, what) = (size(ceiling.bytes as f64), whose(ceiling.kind));
        said.push(format!("Its ceiling is {bytes}: {what}."));
    } else if let Some(ceiling) = case.ceiling {
        said.push(format!("Its ceiling is {}.", size(ceiling)));
    }
    said
}

/// What is known, a sentence each.
fn sentences(verdict: &Verdict) -> Vec<String> {
    let mut said = vec![format!("Because {}.", verdict.because)];
    let confirmed = verdict.state == State::Confirmed;
    if verdict.slope_bytes_per_hour != 0.0 {
        let (low, high) = verdict.slope_interval;
        let what = interval(verdict);
        said.push(format!(
            "The floor (what is left after garbage collection) rises by {} ({what} {} to {}), seen over {}.",
            rate(verdict.slope_bytes_per_hour),
            rate(low),
            rate(high),
            duration(verdict.span_ns as f64 / 1e9)
        ));
    }
    if let Some(ceiling) = verdict.ceiling {
        let what = whose(ceiling.kind);
        said.push(if confirmed && ceiling.kind == CeilingKind::Learned {
            format!("Earlier runs died at {}.", size(ceiling.bytes as f64))
        } else if confirmed {
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
    match verdict
        .blame
        .as_ref()
        .map(|blame| (&blame.introduced_by, &blame.last_clean))
    {
        Some((Some(version), Some(clean))) => {
            said.push(format!("It came with version {}.", version.0));
            said.push(format!("The last version without it was {}.", clean.0));
        }
        Some((Some(version), None)) => said.push(format!(
            "No version before {} was seen, so it may be older than that.",
            version.0
        )),
        Some((None, Some(clean))) => said.push(format!("The last version without it was {}.", clean.0)),
        Some((None, None)) | None => {}
    }
    said
}

/// The levels as they were seen, with the ends of runs.
pub(in crate::view) fn sawtooth(case: &Case) -> Sawtooth {
    Sawtooth {
        levels: case.levels.clone(),
        ceiling: case.ceiling_in_force(),
        ends: case.ends.clone(),
    }
}

#[cfg(test)]
mod tests {
    use observer_core::{
        heap::{Compared, Diagnosis, Grower},
        identity::Version,
        time::{BootTime, SECOND},
    };

    use super::*;
    use crate::{
        terminal::{hostile, rendered},
        view::{case::alike::two_runs_alike, sawtooth::Mark},
    };

    #[test]
    fn a_confirmed_leak_is_told_with_its_runs_and_drawn() {
        let (detector, verdict) = two_runs_alike();
        let ends = [21_600.0, 43_600.0].map(|at| Mark {
            at,
            died: true,
            how: "kernel_oom",
        });
        let mut case = Case {
            whose: "shop/cart".to_owned(),
            verdict: Some(verdict),
            ends: ends.into(),
            ..Case::default()
        };
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
            case.diagnosis = Some(Diagnosis {
                compared: Compared::Times(60.0),
                growers: vec![Grower {
                    what: name.clone(),
                    place: Some(name.clone()),
                    count: (1, 2),
                    bytes: 1 << 20,
                    held_by: vec![name],
                    culprit: true,
                    retained: None,
                    share: None,
                }],
                grown: 1 << 20,
                explained: 1.0,
                exact: true,
                readings: 2,
                container: None,
                memory: None,
            });
            hostile::harmless(&page(&case, false));
        }
    }
}
