//! A recording: steps an engine with it as fast as is wanted, and shows what it knows at each instant.

use std::{
    collections::{BTreeMap, VecDeque},
    iter::Peekable,
    path::Path,
    time::Instant as Clock,
};

use observer_core::{
    Engine, Input,
    telemetry::units,
    time::{BootTime, SECOND},
};

use super::source::{News, Source};
use crate::{
    export::line,
    record::Recording,
    terminal::clean,
    view::{top::Instant, workloads::Watched},
};

/// Findings kept of a service.
const FINDINGS: usize = 200;
/// Seconds of the recording that a step is.
const STEP: f64 = 10.0;

pub(super) struct Playback {
    recording: Peekable<Recording>,
    engine: Engine,
    findings: BTreeMap<String, VecDeque<String>>,
    name: String,
    speed: f64,
    /// Where it began and where it is, by the recording's boot clock, seconds.
    began: f64,
    now: f64,
    /// When it was there.
    then: Clock,
    step: bool,
    shown: bool,
}

impl Playback {
    pub(super) fn open(file: &Path, speed: f64) -> anyhow::Result<Self> {
        let mut recording = Recording::open(file)?.peekable();
        let began = recording.peek().map_or(0.0, seconds);
        Ok(Self {
            recording,
            engine: Engine::new(),
            findings: BTreeMap::new(),
            name: file.file_name().unwrap_or_default().display().to_string(),
            speed,
            began,
            now: began,
            then: Clock::now(),
            step: false,
            shown: false,
        })
    }

    /// Steps everything up to an instant, at most to the end.
    fn play(&mut self, until: f64) {
        while let Some(input) = self.recording.next_if(|input| seconds(input) <= until) {
            self.now = self.now.max(seconds(&input));
            for finding in self.engine.step(&input).findings {
                let Some(subject) = finding.subject.as_deref() else {
                    continue;
                };
                let known = self.findings.entry(subject.service().to_owned()).or_default();
                known.push_back(line::sentence(&finding));
                if known.len() > FINDINGS {
                    known.pop_front();
                }
            }
        }
        if self.recording.peek().is_some() {
            self.now = until;
        }
    }
}

fn seconds(input: &Input) -> f64 {
    input.at.0 as f64 / SECOND as f64
}

impl Source for Playback {
    fn next(&mut self, held: bool) -> anyhow::Result<Option<News>> {
        let passed = std::mem::replace(&mut self.then, Clock::now()).elapsed().as_secs_f64();
        let step = std::mem::take(&mut self.step);
        let first = !std::mem::replace(&mut self.shown, true);
        let idle = (held && !step) || self.recording.peek().is_none();
        if idle && !first {
            return Ok(None);
        }
        let by = if first {
            0.0
        } else if step {
            STEP
        } else {
            passed * self.speed
        };
        self.play(self.now + by);
        let at = units::seconds(self.now - self.began);
        let end = if self.recording.peek().is_none() {
            ", its end"
        } else {
            ""
        };
        Ok(Some(News::Watched(Instant {
            watched: Watched::here(clean::of(&self.engine.workloads())?),
            now_s: self.engine.wall(BootTime((self.now * SECOND as f64) as u64)).0 as f64 / SECOND as f64,
            source: format!("{}  {at}{end}  {:.0}x", self.name, self.speed),
            trouble: None,
        })))
    }

    fn findings(&mut self, service: &str) -> Vec<String> {
        let service = service.rsplit('/').next().unwrap_or(service);
        let known = self.findings.iter().filter(|(name, _)| clean::name(name) == service);
        known.flat_map(|(_, findings)| findings.iter().cloned()).collect()
    }

    fn step(&mut self) {
        self.step = true;
    }

    fn faster(&mut self, factor: f64) {
        self.speed = (self.speed * factor).clamp(1.0, 86_400.0);
    }
}
