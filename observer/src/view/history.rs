//! A service's levels over its runs: reads Inputs and the findings they led to, produces its sawtooth.

use std::collections::BTreeSet;

use observer_core::{
    Engine, Finding, Input, What,
    exit::Cause,
    finding::Event,
    time::{BootTime, SECOND},
};

use super::sawtooth::{Mark, Sawtooth};

/// Levels, ceilings and ends of one service, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// When, and bytes used then.
    pub levels: Vec<(BootTime, u64)>,
    /// The lowest limit last seen, bytes.
    pub limit: Option<u64>,
    /// When runs ended, and why.
    pub ends: Vec<(BootTime, Cause)>,
    /// All services of which a sample was read.
    pub services: BTreeSet<String>,
}

impl History {
    /// What is drawn of it.
    pub fn sawtooth(&self) -> Sawtooth {
        let first = self.levels.first().map_or(BootTime(0), |(at, _)| *at);
        let since = |at: &BootTime| at.since(first) as f64 / SECOND as f64;
        let ends = self.ends.iter().map(|(at, cause)| Mark {
            at: since(at),
            died: cause.at_ceiling(),
            how: cause.name(),
        });
        Sawtooth {
            levels: self
                .levels
                .iter()
                .map(|(at, level)| (since(at), *level as f64))
                .collect(),
            ceiling: self.limit.map(|limit| limit as f64),
            ends: ends.collect(),
        }
    }

    /// Takes what one step of the engine read and said. Call it after the step: the engine knows then whose it is.
    pub fn take(&mut self, service: &str, engine: &Engine, input: &Input, findings: &[Finding]) {
        if let What::Sample(sample) = &input.what
            && let Some(subject) = engine.subject(sample.process)
            && self.is(service, subject.service())
        {
            let (level, limit) = match &sample.cgroup {
                Some(cgroup) => (Some(cgroup.usage), cgroup.limit.as_ref().map(|limit| limit.bytes)),
                None => (sample.rss, None),
            };
            self.levels.extend(level.map(|level| (input.at, level)));
            self.limit = limit.or(self.limit);
        }
        for finding in findings {
            if finding
                .subject
                .as_ref()
                .is_some_and(|subject| subject.service() == service)
            {
                self.finding(finding);
            }
        }
    }

    /// Whether this is the service wanted; remembers it.
    fn is(&mut self, wanted: &str, service: &str) -> bool {
        if !self.services.contains(service) {
            self.services.insert(service.to_owned());
        }
        service == wanted
    }

    fn finding(&mut self, finding: &Finding) {
        match &finding.event {
            Event::Restart(restart) => {
                let previous = &restart.previous;
                // Samples miss the last moments; the kernel's high-water mark does not.
                let at = self.levels.partition_point(|(at, _)| *at <= previous.ended);
                self.levels.insert(at, (previous.ended, previous.peak));
                self.end(previous.ended, previous.cause());
            }
            Event::CrashLoop(crash_loop) => {
                if let Some(last) = &crash_loop.last {
                    self.end(last.ended, last.cause());
                }
            }
            Event::OomKill(kill) if kill.main_process => self.end(finding.at, Cause::KernelOom),
            Event::HeapOom(_) => self.end(finding.at, Cause::V8HeapOom),
            _ => {}
        }
    }

    /// A death and the restart that follows it tell of the same end.
    fn end(&mut self, at: BootTime, cause: Cause) {
        let near = |known: &BootTime| known.since(at).max(at.since(*known)) < SECOND;
        if !self.ends.iter().any(|(known, _)| near(known)) {
            self.ends.push((at, cause));
        }
    }
}
