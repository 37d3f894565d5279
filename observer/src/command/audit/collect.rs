//! Asking: reads a server, produces the metrics of containers, piece by piece.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use observer_core::telemetry::units;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    budget::Budget,
    question::{Batch, Metric, Missing},
    server::{Server, Trouble},
};
use crate::{
    history::prometheus::{
        answer::{Answer, Matrix},
        container::{self, Container, Kinds, Place},
    },
    terminal::say,
};

/// Longest time looked at, seconds.
const LONGEST_SPAN: u64 = 400 * 86_400;
/// Times that a question is asked before it counts as unanswered.
const ATTEMPTS: u32 = 10;
/// Times that a server may be out of reach before anything was answered.
const FIRST_ATTEMPTS: u32 = 3;
/// Longest wait between two attempts, unless the server asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);
/// Different warnings of the server that are kept.
const WARNINGS: usize = 8;

/// The time that is looked at: seconds since 1970, and seconds between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
}

impl Span {
    /// Whole steps, so that pieces fit together whatever their size.
    pub(super) fn of(since: Duration, until: Option<SystemTime>, step: Duration) -> anyhow::Result<Self> {
        let seconds = step.as_secs() as i64;
        if seconds < 1 || step.subsec_nanos() > 0 {
            bail!("--step must be whole seconds, at least 1 s");
        }
        if since.as_secs() > LONGEST_SPAN || since < step {
            bail!("--since must be between --step and 400d");
        }
        let until = until.unwrap_or_else(SystemTime::now);
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let end = until - until.rem_euclid(seconds);
        let since = since.as_secs() as i64;
        Ok(Self {
            start: (end - since + since.rem_euclid(seconds)).max(0),
            end,
            step: seconds,
        })
    }

    /// Points of a series.
    pub(super) const fn points(&self) -> u64 {
        ((self.end - self.start) / self.step + 1) as u64
    }
}

/// An instant for people.
pub(super) fn at(seconds: i64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64)).to_string()
}

/// A conversation with one server.
pub(super) struct Talk {
    pub(super) server: Server,
    pub(super) span: Span,
    pub(super) selector: String,
    pub(super) budget: Budget,
    /// The metrics that the server has.
    pub(super) metrics: Vec<Metric>,
    /// What kube-state-metrics calls `pod` is `exported_pod` here.
    pub(super) exported: bool,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    any: bool,
    samples: u64,
    warnings: BTreeSet<String>,
}

/// Metrics of a batch, or why there are none.
pub(super) enum Collected {
    /// All of them.
    Metrics(BTreeMap<Place, Container>),
    /// It is to be asked in two parts.
    Apart(Batch, Batch),
    /// It was not answered.
    Unanswered(String),
}

impl Talk {
    pub(super) const fn new(server: Server, span: Span, selector: String) -> Self {
        Self {
            server,
            span,
            selector,
            budget: Budget::new(),
            metrics: Vec::new(),
            exported: false,
            heard: Mutex::new(Heard {
                any: false,
                samples: 0,
                warnings: BTreeSet::new(),
            }),
        }
    }

    fn heard<T>(&self, f: impl FnOnce(&mut Heard) -> T) -> T {
        f(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Samples answered so far.
    pub(super) fn samples(&self) -> u64 {
        self.heard(|heard| heard.samples)
    }

    /// What the server wants to be known of its answers.
    pub(super) fn warnings(&self) -> BTreeSet<String> {
        self.heard(|heard| heard.warnings.clone())
    }

    /// All metrics of a batch.
    pub(super) async fn collect(&self, batch: &Batch) -> Result<Collected, Trouble> {
        let wanted: BTreeSet<&Place> = batch.places.iter().collect();
        let mut containers: BTreeMap<Place, Container> = BTreeMap::new();
        for metric in &self.metrics {
            let lacks = |missing: Missing| {
                batch.places.iter().any(|place| {
                    containers.get(place).is_none_or(|container| match missing {
                        Missing::Level => !container.has_level(),
                        Missing::Restarts => !container.has_restarts(),
                    })
                })
            };
            if metric.instead_of.is_some_and(|missing| !lacks(missing)) {
                continue;
            }
            match self.pieces(batch, metric, &mut containers).await {
                Ok(()) => {}
                Err(Trouble::TooMuch(why)) => {
                    return Ok(match batch.halves() {
                        Some((first, second)) => Collected::Apart(first, second),
                        None => Collected::Unanswered(why),
                    });
                }
                // A server that is out of reach is so for all.
                Err(trouble) => return Err(trouble),
            }
        }
        containers.retain(|place, _| wanted.contains(place));
        Ok(Collected::Metrics(containers))
    }

    /// One metric of a batch, over the whole time.
    async fn pieces(
        &self,
        batch: &Batch,
        metric: &Metric,
        containers: &mut BTreeMap<Place, Container>,
    ) -> Result<(), Trouble> {
        let Span { mut start, end, step } = self.span;
        let query = batch.selector(metric, &self.selector, self.exported);
        let series = batch.places.len() as u64;
        let mut attempts = 0;
        while start <= end {
            let points = self.budget.points(series);
            let to = end.min(start + (points as i64 - 1) * step);
            let form = [
                ("query", query.clone()),
                ("start", start.to_string()),
                ("end", to.to_string()),
                ("step", step.to_string()),
            ];
            match self.server.ask("query_range", &form).await {
                Ok(body) => {
                    let matrix: Matrix = self.answered(&body)?;
                    self.budget.answered();
                    let mut samples = 0;
                    for one in matrix.result {
                        samples += one.values.count;
                        // What is not used was not asked for.
                        let _ = container::sort(one, containers, &mut Kinds::new());
                    }
                    self.heard(|heard| heard.samples += samples);
                    containers.values_mut().for_each(Container::seal);
                    start = to + step;
                    attempts = 0;
                }
                Err(Trouble::TooMuch(why)) => {
                    attempts += 1;
                    if !self.budget.refused(points, series) {
                        return Err(Trouble::TooMuch(why));
                    }
                }
                Err(trouble) => {
                    attempts += 1;
                    self.wait(trouble, attempts, ATTEMPTS).await?;
                    if attempts.is_multiple_of(2) {
                        // Now and then a server is busy because of what it is asked.
                        self.budget.refused(points, series);
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks until there is an answer, or there will be none; what is too much and not the `smallest` question, once.
    pub(super) async fn patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, String)],
        smallest: bool,
    ) -> Result<T, Trouble> {
        let mut attempts = 0;
        loop {
            match self.server.ask(path, form).await {
                Ok(body) => return self.answered(&body),
                Err(trouble @ Trouble::TooMuch(_)) if !smallest => return Err(trouble),
                Err(trouble) => {
                    attempts += 1;
                    let most = if self.heard(|heard| heard.any) {
                        ATTEMPTS
                    } else {
                        FIRST_ATTEMPTS
                    };
                    self.wait(trouble, attempts, most).await?;
                }
            }
        }
    }

    fn answered<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Trouble> {
        let not_ours = |why: String| Trouble::Refused(format!("{} is no Prometheus API: {why}", self.server.name()));
        let answer: Answer<T> = serde_json::from_slice(body).map_err(|error| not_ours(error.to_string()))?;
        self.heard(|heard| {
            heard.any = true;
            for warning in answer.warnings {
                if heard.warnings.len() < WARNINGS {
                    heard.warnings.insert(warning);
                }
            }
        });
        match (answer.data, answer.error) {
            (Some(data), None) => Ok(data),
            (_, error) => Err(not_ours(error.unwrap_or_else(|| "an answer without data".to_owned()))),
        }
    }

    /// Waits before the next attempt, or gives up.
    async fn wait(&self, trouble: Trouble, attempts: u32, most: u32) -> Result<(), Trouble> {
        let asked = match &trouble {
            Trouble::Refused(_) => return Err(trouble),
            Trouble::Later(after, _) => *after,
            Trouble::TooMuch(_) => None,
        };
        if attempts >= most {
            return Err(trouble);
        }
        let pause = Duration::from_millis(250 << attempts.min(7)).min(LONGEST_PAUSE);
        let pause = asked.map_or(pause, |asked| asked.min(LONGEST_ASKED));
        if pause > LONGEST_PAUSE {
            say(format_args!(
                "the server asks to be left alone for {}",
                units::seconds(pause.as_secs_f64())
            ));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
