//! A chapter: reads a case, produces its verdict, its figures and its sections, in the order in which they are asked for.

use observer_core::{
    detect::{Gate, State},
    finding::Confidence,
    telemetry::{self, grew, units},
};

use super::{
    page::{Block, Chapter, Section, anchor},
    plot::Plot,
    tables,
};
use crate::{
    terminal::clean,
    view::{
        case::Case,
        explain::{in_one_sentence, known},
        wording::{size, whose},
    },
};

pub(super) fn chapter((nth, case): (usize, &Case)) -> Chapter {
    let sections = [
        ("Memory over time", memory(case)),
        ("What is known", vec![Block::Items(known(case))]),
        ("What happened", tables::happened(case)),
        ("Runs", tables::runs(case)),
        ("Versions", tables::versions(case)),
        ("Before and after", tables::comparison(case)),
        ("What grew in the heap", heap(case)),
        ("Where its memory is", whereabouts(case)),
        ("What the verdict stands on", evidence(case)),
        ("What was not seen", unseen(case)),
    ];
    Chapter {
        anchor: anchor(nth),
        name: clean::name(&case.whose).into_owned(),
        state: case.state(),
        verdict: in_one_sentence(case),
        figures: figures(case),
        sections: sections
            .into_iter()
            .filter(|(_, blocks)| !blocks.is_empty())
            .map(|(heading, blocks)| Section { heading, blocks })
            .collect(),
    }
}

/// The figures that matter most.
fn figures(case: &Case) -> Vec<(&'static str, String)> {
    let mut figures = vec![("State", case.state().name().to_owned())];
    let level = case.levels.last().map(|level| size(level.1));
    match (level, case.ceiling_in_force()) {
        (Some(level), Some(ceiling)) => figures.push(("Level of ceiling", format!("{level} of {}", size(ceiling)))),
        (Some(level), None) => figures.push(("Level", level)),
        (None, _) => {}
    }
    if let Some(left) = case.time_left() {
        figures.push(("To the ceiling, now", units::seconds(left)));
    }
    let died = case.deaths();
    if died > 0 {
        figures.push(("Died at its ceiling", format!("{died}x")));
    }
    let Some(verdict) = &case.verdict else {
        return figures;
    };
    if verdict.slope_bytes_per_hour != 0.0 {
        figures.push(("Growth", units::rate(verdict.slope_bytes_per_hour)));
    }
    if let Some(forecast) = verdict.time_to_ceiling {
        let name = match verdict.state {
            State::Confirmed => "A run lives for",
            _ => "To the ceiling, then",
        };
        let (low, high) = (units::seconds(forecast.p10), units::seconds(forecast.p90));
        figures.push((name, format!("{} ({low} to {high})", units::seconds(forecast.p50))));
    }
    if let Some(version) = &verdict.first_version {
        figures.push(("First version that shows it", version.0.clone()));
    }
    figures
}

fn memory(case: &Case) -> Vec<Block> {
    let Some(plot) = Plot::of(case) else {
        return vec![Block::Text("No level of it is kept, so nothing is drawn.".to_owned())];
    };
    let ceilings = case.ceilings.iter();
    let ceilings: Vec<String> = ceilings
        .map(|ceiling| format!("{}: {}", size(ceiling.bytes as f64), whose(ceiling.kind)))
        .collect();
    let mut blocks = vec![Block::Plot(Box::new(plot))];
    if !ceilings.is_empty() {
        blocks.push(Block::Text(format!("Ceilings: {}.", ceilings.join("; "))));
    }
    blocks
}

/// What grew by name, and how it is held.
fn heap(case: &Case) -> Vec<Block> {
    let Some(diagnosis) = &case.diagnosis else {
        return Vec::new();
    };
    if !diagnosis.explains() {
        return vec![Block::Items(grew(diagnosis))];
    }
    tables::growers(diagnosis)
}

/// What the kernel accounts for, and what was found behind it when the heap was read.
fn whereabouts(case: &Case) -> Vec<Block> {
    let mut blocks = tables::places(case);
    let told = case.diagnosis.as_ref().map(telemetry::whereabouts).unwrap_or_default();
    if !told.is_empty() {
        blocks.push(Block::Items(told));
    }
    blocks
}

/// Which questions were asked, and what was measured against what: of each state that was said, the last time.
fn evidence(case: &Case) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut told = |when: String, asked: &[Gate]| {
        if !asked.is_empty() {
            blocks.push(Block::Text(when));
            blocks.push(Block::Table(tables::answers(asked)));
        }
    };
    for verdict in case.last_of_each_state() {
        let when = format!("Before {} was said:", verdict.state.name());
        told(when, &verdict.gates);
    }
    if case.verdict.is_none() {
        told("When its growth came nearest to being said:".to_owned(), &case.asked);
    }
    if let Some(read) = case.verdict.as_ref().and_then(|verdict| verdict.blame.as_ref()) {
        blocks.push(Block::Text(format!("Which version brought it: {}.", read.evidence)));
    }
    if let Some(against) = case.contradicted_by.as_ref().filter(|text| !text.is_empty()) {
        blocks.push(Block::Text(format!("It would have been contradicted by: {against}.")));
    }
    blocks
}

fn unseen(case: &Case) -> Vec<Block> {
    let mut unseen = case.unseen.clone();
    let unnamed = case
        .ends
        .iter()
        .filter(|end| end.how == "unknown" || end.how == "restarted");
    let unnamed = unnamed.count();
    if unnamed > 0 {
        unseen.push(format!("why {unnamed} of {} runs ended", case.ends.len()));
    }
    if case.ceiling.is_none() && case.ceilings.is_empty() {
        unseen.push("a ceiling: no limit of it is known, so growth could be told, and no end of it".to_owned());
    }
    let attribution = case.attribution();
    if attribution.is_some_and(|attribution| attribution.confidence == Confidence::Inferred) {
        unseen
            .push("the calls that asked for the memory: where it grew is taken from the kernel's accounts".to_owned());
    }
    if case.diagnosis.is_none() && case.verdict.is_some() {
        unseen.push(
            "its heap: what grew in it by name is not known (docs/heap.md tells how to let it be read)".to_owned(),
        );
    }
    if unseen.is_empty() {
        return Vec::new();
    }
    vec![Block::Items(unseen)]
}
