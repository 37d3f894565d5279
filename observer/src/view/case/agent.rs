//! Cases of what the agent knows: reads workloads as they stand and what was kept of them, produces their cases.

use observer_core::{
    detect::growth::misfit::misfit,
    engine::view::{SlotView, WorkloadView},
    finding::{Event, RunSummary},
    identity::Subject,
    telemetry::Severity,
    time::{Anchor, BootTime, SECOND},
};

use super::{
    Case, HAPPENED, Happened,
    standing::left,
    track::{mark, seconds},
};
use crate::{export::line, store::Record, view::timeline};

/// The case of the finding, service, workload or slot `name` among what the running agent observes; or its services. Of
/// several slots the one of which most is said.
pub fn of_workloads(workloads: &[WorkloadView], name: &str) -> Result<Case, Vec<String>> {
    let named = |workload: &&WorkloadView, slot: &&SlotView| {
        let said = slot.said.as_ref();
        workload.is_called(name) || slot.slot.to_string() == name || said.is_some_and(|said| said.id == name)
    };
    workloads
        .iter()
        .flat_map(|workload| workload.slots.iter().map(move |slot| (workload, slot)))
        .filter(|(workload, slot)| named(workload, slot))
        .max_by_key(|(_, slot)| slot.state)
        .map(|(workload, slot)| of_slot_of(workload, slot))
        .ok_or_else(|| workloads.iter().map(|workload| workload.service.clone()).collect())
}

/// The cases of everything the agent knows, with what was kept of it; of the workloads called `name` where one is asked
/// for: one case each, of the slot of which most is said.
pub fn of_engine(workloads: &[WorkloadView], records: &[Record], name: Option<&str>) -> Vec<Case> {
    let wanted = workloads.iter().filter(|view| {
        let slot = |slot: &SlotView| Some(slot.slot.to_string().as_str()) == name;
        name.is_none_or(|name| view.is_called(name)) || view.slots.iter().any(slot)
    });
    let mut cases = Vec::new();
    for workload in wanted {
        let slots = workload.slots.iter();
        let Some(slot) = slots.max_by_key(|slot| (slot.state, slot.current.is_some(), slot.levels.len())) else {
            continue;
        };
        let mut case = of_slot_of(workload, slot);
        remember(&mut case, workload, slot, records);
        cases.push(case);
    }
    cases
}

fn of_slot_of(workload: &WorkloadView, slot: &SlotView) -> Case {
    let mut case = of_slot(&workload.service, slot);
    complete(&mut case, workload, slot);
    case
}

/// What a slot tells by itself.
pub(in crate::view) fn of_slot(service: &str, slot: &SlotView) -> Case {
    let began = slot.levels.first().map_or(BootTime::default(), |level| level.0);
    let since = |at: BootTime| at.since(began) as f64 / SECOND as f64;
    let verdict = slot.said.as_ref().and_then(|said| match &said.event {
        Event::Leak(verdict) => Some((**verdict).clone()),
        _ => None,
    });
    Case {
        whose: service.to_owned(),
        verdict,
        levels: slot
            .levels
            .iter()
            .map(|(at, level)| (since(*at), *level as f64))
            .collect(),
        began: slot.levels.first().and_then(|(at, _)| Some(anchor(slot)?.wall(*at))),
        ends: slot
            .ended
            .iter()
            .filter(|run| run.ended >= began)
            .map(|run| mark(since(run.ended), Some(run.cause())))
            .collect(),
        ceiling: slot
            .current
            .as_ref()
            .and_then(|run| run.ceiling)
            .map(|ceiling| ceiling.bytes as f64),
        asked: slot.asked.clone(),
        ..Case::default()
    }
}

/// Adds what the engine knows at the end, and the case does not yet.
pub(super) fn complete(case: &mut Case, workload: &WorkloadView, slot: &SlotView) {
    case.releases.clone_from(&workload.releases);
    case.current.clone_from(&slot.current);
    case.left = left(case, slot);
    let limits = slot
        .current
        .as_ref()
        .and_then(|run| run.heap_limit.zip(run.cgroup_limit));
    if let Some(misfit) = limits.and_then(|(heap, limit)| misfit(heap, limit)) {
        case.misfit = Some(misfit.advice);
    }
    case.ceilings.clone_from(&slot.ceilings);
    if case.diagnosis.is_none() {
        case.diagnosis.clone_from(&slot.diagnosis);
    }
    if case.contradicted_by.is_none() {
        case.contradicted_by = slot.said.as_ref().map(|said| said.contradicted_by.clone());
    }
    for run in &slot.ended {
        if !case.runs.iter().any(|known| known.run == run.run) {
            case.runs.push(run.clone());
        }
    }
    case.runs.sort_by_key(|run| (run.run, run.ended));
    case.runs.dedup_by_key(|run| run.run);
    if slot.current.as_ref().is_some_and(|run| run.gap) {
        let missed = "something of the run in progress may have been missed: the agent was away, or lost records";
        case.unseen.push(missed.to_owned());
    }
}

/// The same instant on both clocks, by what is known of a slot.
pub(super) fn anchor(slot: &SlotView) -> Option<Anchor> {
    let current = slot.current.as_ref().map(|run| Anchor {
        boot: run.started_boot,
        wall: run.started,
    });
    let said = || {
        slot.said.as_ref().map(|said| Anchor {
            boot: said.at,
            wall: said.wall,
        })
    };
    current.or_else(said)
}

/// Adds what was kept of a workload; where nothing was, what the engine remembers of its runs.
fn remember(case: &mut Case, workload: &WorkloadView, slot: &SlotView, records: &[Record]) {
    let own = |run: &RunSummary| anchor(slot).map(|anchor| anchor.wall(run.ended));
    for record in records.iter().filter(|record| concerns(record, workload)) {
        if let Record::Finding(finding) = record {
            match &finding.event {
                Event::Leak(verdict) if same_slot(finding.subject.as_deref(), slot) => case.judged(verdict),
                Event::NearCeiling(_) if same_slot(finding.subject.as_deref(), slot) => {
                    case.near = Some(line::sentence(finding));
                }
                Event::Gap(_) => case.unseen.push(line::sentence(finding)),
                Event::HeapRead(read) if read.not_read.is_some() => case.unseen.push(line::sentence(finding)),
                Event::Rollout(rollout) => {
                    let began = case.began.map_or(0, |began| began.0);
                    let since = finding.wall.0.saturating_sub(began) as f64 / SECOND as f64;
                    case.rollouts.push((since, rollout.to.0.clone()));
                }
                _ => {}
            }
        }
        if let Record::Run(ended) = record
            && ended.subject.slot == slot.slot
            && ended.subject.instance == slot.instance
            && !case.runs.iter().any(|known| known.run == ended.run.run)
        {
            case.runs.push(ended.run.clone());
        }
        if let Some((wall, severity, what)) = timeline::told(record) {
            case.happened.push(Happened {
                wall: Some(wall),
                since: 0.0,
                severity,
                what,
            });
        }
    }
    if case.happened.is_empty() {
        for run in &slot.ended {
            case.happened.push(Happened {
                wall: own(run),
                since: seconds(run.ended),
                severity: if run.cause().at_ceiling() {
                    Severity::Error
                } else {
                    Severity::Info
                },
                what: timeline::end(run, None),
            });
        }
        if let Some(said) = &slot.said {
            case.happened.push(Happened {
                wall: Some(said.wall),
                since: seconds(said.at),
                severity: observer_core::telemetry::event(said).severity,
                what: line::sentence(said),
            });
        }
        let unkept = "only the last eight runs and what was said last: the agent keeps no history (--store DIR)";
        case.unseen.push(unkept.to_owned());
    }
    case.runs.sort_by_key(|run| run.run);
    case.happened.sort_by_key(|happened| happened.wall);
    let most = case.happened.len().saturating_sub(HAPPENED);
    case.happened.drain(..most);
}

fn same_slot(subject: Option<&Subject>, slot: &SlotView) -> bool {
    subject.is_some_and(|subject| subject.slot == slot.slot && subject.instance == slot.instance)
}

/// Whether a record is about a workload; what the agent says of itself is about all.
fn concerns(record: &Record, workload: &WorkloadView) -> bool {
    let subject = match record {
        Record::Finding(finding) => match &finding.subject {
            Some(subject) => subject,
            None => return true,
        },
        Record::Run(run) => &run.subject,
    };
    subject.workload == workload.workload
}
