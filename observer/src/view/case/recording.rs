//! Cases of a recording: reads its Inputs, steps an engine with them, produces the cases of what it watched.

use std::{collections::BTreeMap, path::Path};

use observer_core::{Engine, Finding, What, finding::Event, identity::Subject, sample::CgroupLevel, telemetry};

use super::{
    Case,
    agent::complete,
    track::{Track, seconds},
};
use crate::{
    export::line,
    record::{Damage, RecordError, Recording},
    terminal,
};

/// Inputs between two lines about how far it is.
const TOLD_EVERY: u64 = 20_000;

/// A slot and which of several alike.
type Key = (String, u32);

/// What a recording tells.
#[derive(Default)]
struct Heard {
    /// By slot: its names, the service's first, and what was collected.
    tracks: BTreeMap<Key, (Vec<String>, Track)>,
    /// The slot that the finding asked for is about.
    asked: Option<Key>,
    /// When nothing could be seen.
    unseen: Vec<String>,
    engine: Engine,
}

/// The case of the finding, service, workload or slot `name` in a recording; or the services that are in it. Of several
/// slots the one of which most was said.
pub fn of_recording(file: &Path, name: &str) -> Result<Result<Case, Vec<String>>, RecordError> {
    let mut heard = hear(file, Some(name))?;
    let named = heard.tracks.iter().filter(|(of, (names, _))| match &heard.asked {
        Some(asked) => asked == *of,
        None => names.iter().any(|one| one == name),
    });
    let most = named.max_by_key(|(_, (_, track))| track.case.said.iter().map(|said| said.1).max());
    let Some(key) = most.map(|(key, _)| key.clone()) else {
        let names = heard.tracks.values();
        let mut services: Vec<String> = names.filter_map(|(names, _)| names.first().cloned()).collect();
        services.dedup();
        return Ok(Err(services));
    };
    let Some((names, track)) = heard.tracks.remove(&key) else {
        return Ok(Err(Vec::new()));
    };
    Ok(Ok(heard.case(&key, &names, track)))
}

/// The cases of all slots in a recording, by their services' names.
pub fn all_of_recording(file: &Path) -> Result<Vec<Case>, RecordError> {
    let mut heard = hear(file, None)?;
    let tracks = std::mem::take(&mut heard.tracks);
    let mut cases: Vec<Case> = tracks
        .into_iter()
        .map(|(key, (names, track))| heard.case(&key, &names, track))
        .collect();
    cases.sort_by(|a, b| a.whose.cmp(&b.whose));
    Ok(cases)
}

fn hear(file: &Path, name: Option<&str>) -> Result<Heard, RecordError> {
    let mut heard = Heard::default();
    let mut recording = Recording::open(file)?;
    let mut count = 0u64;
    for input in recording.by_ref() {
        count += 1;
        if count.is_multiple_of(TOLD_EVERY) {
            terminal::progress(format_args!("{count} inputs of the recording judged"));
        }
        let findings = heard.engine.step(&input).findings;
        if let What::Sample(sample) = &input.what
            && let Some(subject) = heard.engine.subject(sample.process)
        {
            let engine = &heard.engine;
            let track = track(&mut heard.tracks, subject);
            let level = sample.cgroup.as_ref().map(CgroupLevel::trend).or(sample.rss_anon);
            if let Some(level) = level {
                track.level(seconds(input.at), level as f64);
            }
            let limit = sample.cgroup.as_ref().and_then(|cgroup| cgroup.limit.as_ref());
            track.case.ceiling = limit.map(|limit| limit.bytes as f64).or(track.case.ceiling);
            if let Some(counters) = &sample.cgroup {
                track.case.counters = Some(counters.clone());
            }
            track.asked(false, || engine.ask(sample.process));
        }
        for finding in findings {
            heard.take(&finding, name);
        }
    }
    if count >= TOLD_EVERY {
        terminal::progress_done();
    }
    heard.unseen.extend(unread(recording.damage()));
    Ok(heard)
}

fn unread(damage: Damage) -> Vec<String> {
    let mut unread = Vec::new();
    if damage.lines > 0 {
        unread.push(format!("{} damaged lines of the recording were skipped", damage.lines));
    }
    if damage.torn {
        unread.push("the recording's end is torn: the agent was killed, or still wrote it".to_owned());
    }
    unread
}

impl Heard {
    fn take(&mut self, finding: &Finding, name: Option<&str>) {
        let Some(subject) = finding.subject.as_deref() else {
            if matches!(finding.event, Event::Gap(_)) {
                self.unseen.push(line::sentence(finding));
            }
            return;
        };
        if name.is_some_and(|name| finding.id == name) {
            self.asked = Some(key(subject));
        }
        // The finding asked for stays; what came after it is not what is asked about.
        let frozen = self.asked.is_some() && name.is_some_and(|name| finding.id != name);
        note(track(&mut self.tracks, subject), finding, frozen);
    }

    /// The case of a slot, with what the engine knows of it at the end.
    fn case(&self, key: &Key, names: &[String], track: Track) -> Case {
        let mut case = track.case;
        case.whose = names.first().cloned().unwrap_or_else(|| key.0.clone());
        case.unseen.extend(self.unseen.iter().cloned());
        for workload in self.engine.workloads() {
            let slots = workload.slots.iter();
            if let Some(slot) = slots
                .into_iter()
                .find(|slot| (slot.slot.to_string(), slot.instance) == *key)
            {
                complete(&mut case, &workload, slot);
                if let (Some(began), Some(anchor)) = (track.began, super::agent::anchor(slot)) {
                    let at = observer_core::time::BootTime((began * 1e9) as u64);
                    case.began = Some(anchor.wall(at));
                }
            }
        }
        case
    }
}

fn key(subject: &Subject) -> Key {
    (subject.slot.to_string(), subject.instance)
}

/// The track of a subject's slot, under all its names.
fn track<'a>(tracks: &'a mut BTreeMap<Key, (Vec<String>, Track)>, subject: &Subject) -> &'a mut Track {
    let entry = tracks.entry(key(subject)).or_default();
    if !entry.0.iter().any(|name| name == subject.service()) {
        let workload = subject.workload.name.clone();
        entry.0 = vec![subject.service().to_owned(), workload, subject.slot.to_string()];
    }
    &mut entry.1
}

/// Takes a finding in; `frozen` where the verdict asked for was an earlier one.
fn note(track: &mut Track, finding: &Finding, frozen: bool) {
    let since = track.since(seconds(finding.at));
    let told = telemetry::event(finding);
    track.happened(Some(finding.wall), since, told.severity, line::sentence(finding));
    match &finding.event {
        Event::Leak(verdict) => {
            let since = track.since(seconds(verdict.at));
            track.case.said.push((since, verdict.state));
            track.case.judged(verdict);
            if !frozen {
                track.case.verdict = Some((**verdict).clone());
                track.case.contradicted_by = Some(finding.contradicted_by.clone());
            }
        }
        Event::Restart(restart) => {
            let at = track.since(seconds(restart.previous.ended));
            track.end(at, Some(restart.previous.cause()));
            track.case.runs.push(restart.previous.clone());
        }
        Event::CrashLoop(crash_loop) => {
            if let Some(last) = &crash_loop.last {
                let at = track.since(seconds(last.ended));
                track.end(at, Some(last.cause()));
                track.case.runs.push(last.clone());
            }
        }
        Event::RecurringOom(recurring) => {
            let service = finding.subject.as_ref().map_or("it", |subject| subject.service());
            track.case.recurring = Some(telemetry::recurring_oom(service, "", recurring));
        }
        Event::NearCeiling(_) => track.case.near = Some(line::sentence(finding)),
        Event::Misfit(misfit) => track.case.misfit = Some(misfit.advice.clone()),
        Event::Rollout(rollout) => track.case.rollouts.push((since, rollout.to.0.clone())),
        Event::Diagnosis(diagnosis) => track.case.diagnosis = Some((**diagnosis).clone()),
        Event::HeapRead(read) if read.not_read.is_some() => track.case.unseen.push(line::sentence(finding)),
        _ => {}
    }
}
