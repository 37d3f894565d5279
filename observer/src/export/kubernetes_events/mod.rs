//! Kubernetes Events: reads findings, produces Events on their pods, so that `kubectl describe pod` tells of a kill, a
//! death at V8's heap limit and a leak.
//!
//! Off by default: it needs the right to create and patch Events, and whoever may read a namespace's Events reads what is
//! said of its pods. There is one Event for each reason and container; what is said again counts it up. At most one
//! request a second is made.

mod event;
pub(crate) mod rights;
mod waiting;
mod write;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use observer_core::{Finding, time::WallTime};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use self::{
    waiting::Waiting,
    write::{Failure, Writer},
};
use crate::{config::Config, host, snapshot::ExporterView, source::kubernetes, terminal::say};

/// The signal's name in the status and in the agent's own metrics.
pub(crate) const SIGNAL: &str = "kubernetes_events";
/// Between two requests.
const PACE: Duration = Duration::from_secs(1);
/// The first pause after a failure, doubled with each further one.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_mins(1);
/// As long as the API server keeps an Event unless it is told otherwise: what is older is history.
const OLDEST: Duration = Duration::from_hours(1);

/// Writes Events, where that is wanted.
#[derive(Debug)]
pub(super) struct KubernetesEvents {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Waiting,
    delivered: AtomicU64,
    refused: AtomicU64,
    retries: AtomicU64,
    failing: Mutex<Option<String>>,
}

impl KubernetesEvents {
    /// Starts the task that writes; `None` where Events are not wanted, or this is no node of Kubernetes. Within a
    /// runtime only.
    pub(super) fn start(config: &Config) -> Option<Self> {
        if !config.kubernetes_events {
            return None;
        }
        let Some(node) = host::node(config) else {
            say("no Kubernetes Events are written: no pods are watched here (--kubernetes)");
            return None;
        };
        let shared = Arc::<Shared>::default();
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(deliver(Arc::clone(&shared), node, stopping));
        Some(Self { shared, stop, task })
    }

    /// Queues what a finding says of a pod; never waits.
    pub(super) fn publish(&self, finding: &Finding) {
        let Some(reason) = event::reason(finding) else { return };
        match event::of(finding, reason) {
            Some((key, said)) => self.shared.waiting.push(key, said),
            None => self.shared.waiting.dropped(1),
        }
    }

    /// How delivery goes. Counts are of findings.
    pub(super) fn view(&self) -> ExporterView {
        let (waiting, oldest, dropped) = self.shared.waiting.depth();
        ExporterView {
            name: "Kubernetes Events".to_owned(),
            signal: SIGNAL.to_owned(),
            oldest_s: oldest.map_or(0.0, |at| now().0.saturating_sub(at.0) as f64 / 1e9),
            waiting,
            dropped,
            delivered: self.shared.delivered.load(Relaxed),
            refused: self.shared.refused.load(Relaxed),
            retries: self.shared.retries.load(Relaxed),
            failing: self.shared.failing().clone(),
            ..ExporterView::default()
        }
    }

    /// Writes what waits until the deadline, or until the first failure.
    pub(super) async fn finish(self, deadline: Instant) {
        self.stop.send_replace(true);
        // A task that panicked has written nothing more: the depth below tells.
        let _ = timeout_at(deadline, self.task).await;
        let (waiting, _, dropped) = self.shared.waiting.depth();
        if waiting as u64 + dropped > 0 {
            say(format_args!(
                "Kubernetes Events: {waiting} not written before the stop deadline, {dropped} dropped: there was no room, they were \
                 older than an hour, or their pod's name was not known"
            ));
        }
    }
}

impl Shared {
    fn failing(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // A whole value is set: no half of one can be seen.
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it fails; told when it begins, when the reason changes, and when it is over.
    fn fails(&self, why: Option<String>) {
        let before = std::mem::replace(&mut *self.failing(), why.clone());
        match (before, why) {
            (before, Some(why)) if before.as_ref() != Some(&why) => {
                say(format_args!("Kubernetes Events cannot be written at the moment: {why}"));
            }
            (Some(_), None) => say("Kubernetes Events are written again"),
            _ => {}
        }
    }
}

async fn deliver(shared: Arc<Shared>, node: String, mut stopping: watch::Receiver<bool>) {
    let mut pause = SHORTEST;
    let mut writer = None;
    loop {
        let Some((key, said)) = shared.waiting.take() else {
            if *stopping.borrow() {
                return;
            }
            tokio::select! {
                () = shared.waiting.arrived() => {}
                _ = stopping.changed() => {}
            }
            continue;
        };
        if now().0.saturating_sub(said.last.0) > OLDEST.as_nanos() as u64 {
            shared.waiting.dropped(said.times);
            continue;
        }
        let written = match writer_of(&mut writer, &node).await {
            Ok(writer) => writer.write(&key, &said).await,
            Err(failure) => Err(failure),
        };
        let wait = match written {
            Ok(()) => {
                shared.delivered.fetch_add(u64::from(said.times), Relaxed);
                shared.fails(None);
                pause = SHORTEST;
                PACE
            }
            Err(Failure::Refused(why)) => {
                shared.refused.fetch_add(u64::from(said.times), Relaxed);
                say(format_args!(
                    "the API server refuses an Event on pod {}/{}: {why}",
                    key.namespace, key.pod
                ));
                PACE
            }
            Err(Failure::Later(why)) => {
                shared.waiting.put_back(key, said);
                shared.retries.fetch_add(1, Relaxed);
                shared.fails(Some(why));
                if *stopping.borrow() {
                    return;
                }
                let wait = pause.mul_f64(fastrand::f64().mul_add(0.4, 0.8));
                pause = (pause * 2).min(LONGEST);
                wait
            }
        };
        if !*stopping.borrow() {
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping.changed() => {}
            }
        }
    }
}

/// The writer, made when there is something to write: how to reach the API server may be known later than the agent's start.
async fn writer_of<'a>(writer: &'a mut Option<Writer>, node: &str) -> Result<&'a mut Writer, Failure> {
    if let Some(writer) = writer {
        return Ok(writer);
    }
    let client = kubernetes::client()
        .await
        .map_err(|error| Failure::Later(error.to_string()))?;
    Ok(writer.insert(Writer::new(client, node.to_owned())))
}

fn now() -> WallTime {
    WallTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64,
    )
}
