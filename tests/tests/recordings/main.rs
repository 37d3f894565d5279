//! Recordings of real programs, judged again: those that leak are reported and their growth is put where it was, those
//! that do not are left alone. `cargo xtask recordings` makes them anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod layouts;

use std::{collections::BTreeSet, fs};

use observer::record::Recording;
use observer_core::{
    Engine,
    detect::{State, Verdict},
    finding::{Confidence, Event},
    time::WallTime,
};
use observer_tests::fleet::{Node, Plan, Recorded};
use serde::Deserialize;

/// A program of programs.json, and what must be found of it.
#[derive(Deserialize)]
struct Program {
    name: String,
    leaks: bool,
    /// Where it grows, as telemetry names it.
    place: Option<String>,
}

fn programs() -> Vec<Program> {
    serde_json::from_slice(&fs::read(layouts::recordings().join("programs.json")).unwrap()).unwrap()
}

/// What is said of the program's service.
fn verdicts(program: &Program) -> Vec<Verdict> {
    let file = layouts::recordings().join(format!("{}.jsonl.gz", program.name));
    let mut recording = Recording::open(&file).unwrap();
    let mut engine = Engine::new();
    let mut verdicts = Vec::new();
    for input in recording.by_ref() {
        for finding in engine.step(&input).findings {
            if let (Event::Leak(verdict), Some(subject)) = (finding.event, finding.subject)
                && subject.service() == program.name
            {
                verdicts.push(*verdict);
            }
        }
    }
    assert_eq!(recording.damage().lines, 0, "{}", file.display());
    verdicts
}

#[test]
fn leaks_are_reported_in_the_right_place_and_the_healthy_are_not() {
    let mut wrong = Vec::new();
    for program in programs() {
        let verdicts = verdicts(&program);
        let states: Vec<State> = verdicts.iter().map(|verdict| verdict.state).collect();
        let reported = states
            .iter()
            .any(|state| matches!(state, State::Likely | State::Confirmed));
        if reported != program.leaks {
            wrong.push(format!("{}: {states:?}", program.name));
        }
        let observed = verdicts
            .iter()
            .filter(|verdict| verdict.state >= State::Likely)
            .filter_map(|verdict| verdict.attribution)
            .filter(|attribution| attribution.confidence == Confidence::Observed);
        let places: BTreeSet<&str> = observed.map(|attribution| attribution.largest().0).collect();
        if let Some(place) = &program.place
            && places != BTreeSet::from([place.as_str()])
        {
            wrong.push(format!("{}: grows in {place}, told as {places:?}", program.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A fleet plays a recording hours long again, as a node of its own: what is said of the program is the same.
#[test]
fn a_fleet_s_node_that_plays_a_recording_says_the_same() {
    let plan = Plan {
        nodes: 0,
        containers: 0,
        replicas: 1,
        days: 1.0,
        interval: 60.0,
        seed: 1,
        leaking: None,
    };
    let mut wrong = Vec::new();
    for program in programs() {
        let file = layouts::recordings().join(format!("{}.jsonl.gz", program.name));
        let recorded = Recorded::of(&program.name, Recording::open(&file).unwrap().collect()).unwrap();
        let (seconds, end) = (recorded.seconds(), plan.days * 86_400.0);
        let mut node = Node::recorded(&plan, &recorded, end, WallTime(1_700_000_000_000_000_000));
        let mut states: Vec<State> = Vec::new();
        let mut first = None;
        node.play(end, 600.0, |moment| {
            first = first.or((moment.engine.counts().containers > 0).then_some(moment.t));
            for finding in &moment.findings {
                if let (Event::Leak(verdict), Some(subject)) = (&finding.event, &finding.subject)
                    && subject.service() == program.name
                {
                    states.push(verdict.state);
                }
            }
        });
        let reported = states
            .iter()
            .any(|state| matches!(state, State::Likely | State::Confirmed));
        let told: Vec<State> = verdicts(&program).iter().map(|verdict| verdict.state).collect();
        let began = end - seconds;
        let hours = seconds / 3_600.0;
        let due = first.is_some_and(|first| (began..began + 0.1 * seconds).contains(&first));
        if reported != program.leaks || states != told || !due || !(10.0..21.0).contains(&hours) {
            wrong.push(format!(
                "{}: {states:?}, not {told:?}; {hours:.1} h, since {first:?}",
                program.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recording_has_its_expectation_and_every_expectation_its_recording() {
    let recorded: BTreeSet<String> = fs::read_dir(layouts::recordings())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".jsonl.gz").map(str::to_owned))
        .collect();
    let expected: BTreeSet<String> = programs().into_iter().map(|program| program.name).collect();
    assert_eq!(recorded, expected);
    let places = ["v8_heap", "malloc", "large_buffer", "file", "shmem", "other"];
    assert!(
        programs()
            .iter()
            .filter_map(|program| program.place.as_deref())
            .all(|place| places.contains(&place))
    );
}
