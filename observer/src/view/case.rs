//! Cases: read a history, a recording or the running agent's answer, produce what is explained of one container.

use std::{collections::BTreeMap, path::Path};

use observer_core::{
    Engine, Finding, What,
    detect::{
        Gate, State, progress,
        replay::{Replay, Row, Said},
    },
    engine::view::{SlotView, WorkloadView},
    exit::Cause,
    finding::Event,
    identity::Subject,
    sample::CgroupLevel,
    telemetry,
    time::{BootTime, SECOND},
};

use super::{explain::Case, sawtooth::Mark};
use crate::{
    history::{self, HistoryError, HistorySink},
    record::{RecordError, Recording},
};

/// Levels kept of a container: beyond it every other one is left out, and from there on.
const MOST: usize = 8_192;

/// One level in so many is followed by asking how near the growth comes to being said.
const ASK_EVERY: usize = 16;

/// A case that is being collected.
#[derive(Debug, Default)]
struct Track {
    case: Case,
    /// One in so many levels is kept.
    every: usize,
    passed: usize,
    began: Option<f64>,
    run: Option<u64>,
    last: f64,
    levels: usize,
}

impl Track {
    fn level(&mut self, t: f64, bytes: f64) {
        let since = t - *self.began.get_or_insert(t);
        self.last = since;
        self.passed += 1;
        if self.passed >= self.every.max(1) {
            self.passed = 0;
            self.case.levels.push((since, bytes));
        }
        if self.case.levels.len() >= MOST {
            let mut keep = false;
            self.case.levels.retain(|_| {
                keep = !keep;
                keep
            });
            self.every = self.every.max(1) * 2;
        }
    }

    /// Keeps what came nearest of what is asked of the growth; `ask` is expensive, so only now and then.
    fn asked(&mut self, end: bool, ask: impl FnOnce() -> Vec<Gate>) {
        self.levels += 1;
        if !end && !self.levels.is_multiple_of(ASK_EVERY) {
            return;
        }
        let asked = ask();
        if !asked.is_empty() && progress(&asked) >= progress(&self.case.asked) {
            self.case.asked = asked;
        }
    }

    fn end(&mut self, at: f64, cause: Option<Cause>) {
        self.case.ends.push(mark(at, cause));
    }

    fn since(&self, t: f64) -> f64 {
        (t - self.began.unwrap_or(t)).max(0.0)
    }
}

/// An end; of some it is only known that another run began.
fn mark(at: f64, cause: Option<Cause>) -> Mark {
    Mark {
        at,
        died: cause.is_some_and(Cause::at_ceiling),
        how: cause.map_or("restarted", Cause::name),
    }
}

fn seconds(at: BootTime) -> f64 {
    at.0 as f64 / SECOND as f64
}

/// Collects one series of a history.
struct Listener<'a> {
    name: &'a str,
    track: Track,
    others: BTreeMap<String, State>,
}

impl HistorySink for Listener<'_> {
    fn row(&mut self, row: &Row<'_>) {
        if row.series != self.name {
            return;
        }
        let track = &mut self.track;
        let run = row.run.or(track.run);
        if track.run.is_some_and(|before| Some(before) != run)
            && track.case.ends.last().is_none_or(|end| end.at < track.last)
        {
            track.end(track.last, None);
        }
        track.run = run;
        track.level(row.t, row.anon);
        track.case.ceiling = row.limit.filter(|limit| *limit > 0.0).or(track.case.ceiling);
        if let Some(cause) = row.end {
            track.end(track.last, Some(cause));
        }
    }

    fn judged(&mut self, row: &Row<'_>, replay: &Replay) {
        if row.series == self.name {
            self.track.asked(false, || replay.ask(row.series));
        }
    }

    fn said(&mut self, series: &str, said: Said<'_>) {
        let verdict = match said {
            Said::Verdict(verdict) => verdict,
            Said::Recurring(_, recurring) if series == self.name => {
                self.track.case.recurring = Some(telemetry::recurring_oom(series, "", recurring));
                return;
            }
            _ => return,
        };
        if series == self.name {
            let since = self.track.since(seconds(verdict.at));
            self.track.case.said.push((since, verdict.state));
            self.track.case.verdict = Some(verdict.clone());
        } else {
            self.others.insert(series.to_owned(), verdict.state);
        }
    }
}

/// The case of the series `name` in a history, or the names of others of which something was said.
pub fn of_history(
    read: history::Reader,
    file: &Path,
    time_scale: Option<f64>,
    name: &str,
) -> Result<Result<Case, Vec<String>>, HistoryError> {
    let mut listener = Listener {
        name,
        track: Track::default(),
        others: BTreeMap::new(),
    };
    read(file, time_scale, &mut listener)?;
    if listener.track.began.is_none() {
        let mut others: Vec<(State, String)> = listener.others.into_iter().map(|(name, state)| (state, name)).collect();
        others.sort_by(|a, b| b.cmp(a));
        return Ok(Err(others.into_iter().map(|(_, name)| name).collect()));
    }
    name.clone_into(&mut listener.track.case.whose);
    Ok(Ok(listener.track.case))
}

/// The case of the finding, service, workload or slot `name` in a recording; or the services that are in it. Of several
/// slots the one of which most was said.
pub fn of_recording(file: &Path, name: &str) -> Result<Result<Case, Vec<String>>, RecordError> {
    let mut engine = Engine::new();
    let mut tracks: BTreeMap<(String, u32), (Vec<String>, Track)> = BTreeMap::new();
    let mut asked = None;
    for input in Recording::open(file)? {
        let findings = engine.step(&input).findings;
        if let What::Sample(sample) = &input.what
            && let Some(subject) = engine.subject(sample.process)
        {
            let track = track(&mut tracks, subject);
            let level = sample.cgroup.as_ref().map(CgroupLevel::trend).or(sample.rss_anon);
            if let Some(level) = level {
                track.level(seconds(input.at), level as f64);
            }
            let limit = sample.cgroup.as_ref().and_then(|cgroup| cgroup.limit.as_ref());
            track.case.ceiling = limit.map(|limit| limit.bytes as f64).or(track.case.ceiling);
            track.asked(false, || engine.ask(sample.process));
        }
        for finding in findings {
            let Some(subject) = finding.subject.as_deref() else {
                continue;
            };
            if finding.id == name {
                asked = Some(key(subject));
            }
            hear(
                track(&mut tracks, subject),
                &finding,
                asked.is_some() && finding.id != name,
            );
        }
    }
    let named = tracks
        .iter()
        .filter(|(of, (names, _))| {
            asked
                .as_ref()
                .map_or_else(|| names.iter().any(|one| one == name), |asked| asked == *of)
        })
        .max_by_key(|(_, (_, track))| track.case.said.iter().map(|said| said.1).max());
    let Some((_, (names, track))) = named else {
        let mut services: Vec<String> = tracks
            .values()
            .filter_map(|(names, _)| names.first().cloned())
            .collect();
        services.dedup();
        return Ok(Err(services));
    };
    let mut case = track.case.clone();
    names.first().map_or(name, String::as_str).clone_into(&mut case.whose);
    Ok(Ok(case))
}

fn key(subject: &Subject) -> (String, u32) {
    (subject.slot.to_string(), subject.instance)
}

/// The track of a subject's slot, under all its names.
fn track<'a>(tracks: &'a mut BTreeMap<(String, u32), (Vec<String>, Track)>, subject: &Subject) -> &'a mut Track {
    let entry = tracks.entry(key(subject)).or_default();
    if !entry.0.iter().any(|name| name == subject.service()) {
        let workload = subject.workload.name.clone();
        entry.0 = vec![subject.service().to_owned(), workload, subject.slot.to_string()];
    }
    &mut entry.1
}

/// Takes a finding in; `frozen` where the verdict asked for was an earlier one.
fn hear(track: &mut Track, finding: &Finding, frozen: bool) {
    match &finding.event {
        Event::Leak(verdict) => {
            let since = track.since(seconds(verdict.at));
            track.case.said.push((since, verdict.state));
            if !frozen {
                track.case.verdict = Some((**verdict).clone());
            }
        }
        Event::Restart(restart) => {
            let at = track.since(seconds(restart.previous.ended));
            track.end(at, Some(restart.previous.cause()));
        }
        Event::CrashLoop(crash_loop) => {
            if let Some(last) = &crash_loop.last {
                let at = track.since(seconds(last.ended));
                track.end(at, Some(last.cause()));
            }
        }
        Event::RecurringOom(recurring) => {
            let service = finding.subject.as_ref().map_or("it", |subject| subject.service());
            track.case.recurring = Some(telemetry::recurring_oom(service, "", recurring));
        }
        Event::Diagnosis(diagnosis) => track.case.diagnosis = telemetry::grew(diagnosis),
        _ => {}
    }
}

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
        .map(|(workload, slot)| of_slot(&workload.service, slot))
        .ok_or_else(|| workloads.iter().map(|workload| workload.service.clone()).collect())
}

pub(super) fn of_slot(service: &str, slot: &SlotView) -> Case {
    let began = slot.levels.first().map_or(BootTime::default(), |level| level.0);
    let since = |at: BootTime| at.since(began) as f64 / SECOND as f64;
    Case {
        whose: service.to_owned(),
        verdict: slot.said.as_ref().and_then(|said| match &said.event {
            Event::Leak(verdict) => Some((**verdict).clone()),
            _ => None,
        }),
        levels: slot
            .levels
            .iter()
            .map(|(at, level)| (since(*at), *level as f64))
            .collect(),
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
        diagnosis: slot.diagnosis.as_ref().map(telemetry::grew).unwrap_or_default(),
        ..Case::default()
    }
}
