//! The audit itself: reads batches of containers from a server, several at a time, produces what is said of each.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use observer_core::telemetry::units;
use tokio::task::JoinSet;

use super::{
    collect::{Collected, Talk},
    find::Found,
    journal::{Asked, Journal},
    outcome::{self, Judged},
    question::{Batch, LEVELS, METRICS},
    server::Trouble,
};
use crate::terminal::{self, say};

/// What is shared by those who ask.
struct Shared {
    talk: Talk,
    found: Mutex<VecDeque<Batch>>,
    kinds: crate::history::prometheus::container::Kinds,
}

/// Judges all containers that are not in `judged` yet; their findings are held where they are to be told.
pub(super) async fn run(
    mut talk: Talk,
    asked: &Asked,
    parallel: usize,
    mut journal: Option<Journal>,
    tells_findings: bool,
    judged: &mut Vec<Judged>,
) -> anyhow::Result<()> {
    let Found { mut batches, kinds } = containers(&mut talk, &asked.namespaces).await?;
    if batches.is_empty() {
        bail!("the server has no container that matches --namespace and --selector in this time");
    }
    let before: BTreeSet<_> = judged.iter().map(Judged::place).collect();
    for batch in &mut batches {
        batch.places.retain(|place| !before.contains(place));
    }
    batches.retain(|batch| !batch.places.is_empty());
    announce(&talk, &batches);
    let mut progress = Progress::new(batches.iter().map(|batch| batch.places.len()).sum());
    let shared = Arc::new(Shared {
        talk,
        found: Mutex::new(batches.into()),
        kinds,
    });
    let mut asking = JoinSet::new();
    for _ in 0..parallel {
        asking.spawn(next(Arc::clone(&shared)));
    }
    while let Some(ended) = asking.join_next().await {
        // It neither panics nor is cancelled.
        match ended?.map_err(|trouble| given_up(&trouble, journal.is_some()))? {
            Some(mut batch) => {
                if let Some(journal) = &mut journal {
                    journal.keep(&batch)?;
                }
                progress.tick(batch.len(), shared.talk.samples());
                if !tells_findings {
                    // Of thousands of containers they are most of what is held.
                    batch.iter_mut().for_each(|judged| judged.findings = Vec::new());
                }
                judged.extend(batch);
                asking.spawn(next(Arc::clone(&shared)));
            }
            // Another may still put back what is to be asked in two parts.
            None if asking.is_empty() => break,
            None => {}
        }
    }
    drop(progress);
    for warning in shared.talk.warnings() {
        say(format_args!("the server warns: {warning}"));
    }
    let refusals = shared.talk.budget.refusals();
    if refusals > 0 {
        say(format_args!(
            "the server refused {refusals} questions; they were asked again in smaller pieces"
        ));
    }
    Ok(())
}

/// Meets the server, and asks which containers it knows in these namespaces, or in all where none is named.
pub(super) async fn containers(talk: &mut Talk, namespaces: &[String]) -> anyhow::Result<Found> {
    let refused = |trouble: Trouble| anyhow!("{}", trouble.why());
    talk.meet().await.map_err(refused)?;
    if !talk.metrics.iter().any(|metric| LEVELS.contains(&metric.name)) {
        bail!(
            "the server has neither {} nor {} in this time: is cAdvisor (the kubelet) scraped? docs/audit.md tells what is needed",
            LEVELS[0],
            LEVELS[1]
        );
    }
    talk.find(namespaces).await.map_err(refused)
}

/// Why the audit ends before its end, and how it goes on.
fn given_up(trouble: &Trouble, kept: bool) -> anyhow::Error {
    let next = if kept {
        "the same command goes on from here"
    } else {
        "--resume FILE keeps what is judged, for the next attempt"
    };
    anyhow!("{}; {next}", trouble.why())
}

/// Says what is asked, and what the server does not have.
fn announce(talk: &Talk, batches: &[Batch]) {
    let containers: u64 = batches.iter().map(|batch| batch.places.len() as u64).sum();
    let asked = talk.metrics.iter().filter(|metric| metric.instead_of.is_none()).count() as u64;
    say(format_args!(
        "{containers} containers, {} at {}: at most {} million values of {} metrics",
        units::seconds((talk.span.end - talk.span.start) as f64),
        units::seconds(talk.span.step as f64),
        (containers * asked * talk.span.points()).div_ceil(1_000_000),
        asked
    ));
    let missing: Vec<&str> = METRICS
        .iter()
        .filter(|metric| metric.instead_of.is_none() && !talk.metrics.contains(metric))
        .map(|metric| metric.name)
        .collect();
    if !missing.is_empty() {
        say(format_args!("the server does not have {}", missing.join(", ")));
    }
}

/// Takes a batch and judges it; `None` where there is no more.
async fn next(shared: Arc<Shared>) -> Result<Option<Vec<Judged>>, Trouble> {
    let queue = || shared.found.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(batch) = queue().pop_front() else {
            return Ok(None);
        };
        let metrics = match shared.talk.collect(&batch).await? {
            Collected::Metrics(metrics) => metrics,
            Collected::Apart(first, second) => {
                let mut queue = queue();
                queue.push_front(second);
                queue.push_front(first);
                continue;
            }
            Collected::Unanswered(why) => {
                let why = format!("the server does not answer: {why}");
                return Ok(Some(
                    batch
                        .places
                        .iter()
                        .map(|place| Judged::unasked(place, why.clone()))
                        .collect(),
                ));
            }
        };
        let span = shared.talk.span;
        let judged = batch.places.iter().map(|place| {
            let kind = shared.kinds.get(&(place.namespace.clone(), place.pod.clone()));
            match metrics.get(place) {
                Some(metrics) => outcome::judge(
                    place,
                    kind.map(String::as_str),
                    metrics,
                    span.end as f64,
                    span.step as f64,
                ),
                None => Judged::unasked(place, "the server tells nothing of it at this step".to_owned()),
            }
        });
        return Ok(Some(judged.collect()));
    }
}

/// Says how far it is, on a terminal's standard error.
struct Progress {
    all: usize,
    done: usize,
    started: Instant,
    said: Option<Instant>,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            all,
            done: 0,
            started: Instant::now(),
            said: None,
        }
    }

    fn tick(&mut self, judged: usize, samples: u64) {
        self.done += judged;
        let recent = self
            .said
            .is_some_and(|said| said.elapsed() < Duration::from_millis(500));
        if recent || self.done == 0 {
            return;
        }
        self.said = Some(Instant::now());
        let left =
            self.started.elapsed().as_secs_f64() * (self.all.saturating_sub(self.done)) as f64 / self.done as f64;
        terminal::progress(format_args!(
            "{} of {} containers, {} million values, {} left",
            self.done,
            self.all,
            samples / 1_000_000,
            units::seconds(left)
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.said.is_some() {
            terminal::progress_done();
        }
    }
}
