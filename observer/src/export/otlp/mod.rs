//! OTLP: reads findings, produces export requests under each workload's own Resource, delivered or counted: events as
//! logs, ended runs as spans.
//!
//! Not the OpenTelemetry SDK, which knows one Resource per provider and gives up after some retries
//! (docs/adr/0010-otlp-without-the-sdk.md).

mod batch;
mod codec;
mod delivery;
mod logs;
mod queue;
mod spans;
mod transport;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use observer_core::{Finding, semconv};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

pub use batch::{Entry, SCHEMA_URL};
pub use delivery::Counts;
pub use queue::{Batch, Depth, Queue};
pub use transport::TransportError;

use crate::{
    command::say,
    config::{Config, otlp::Target},
    store::Spool,
};
use delivery::Delivery;
use transport::Transport;

/// Sends events and ended runs over OTLP, where a target is configured.
#[derive(Debug)]
pub struct Otlp {
    logs: Option<Lane>,
    traces: Option<Lane>,
    spool: Option<Spool>,
    agent: Resource,
    stop: watch::Sender<Option<Instant>>,
}

/// One signal's way out.
#[derive(Debug)]
struct Lane {
    name: String,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Otlp {
    /// Starts a task per target. Certificates are read; the network is not touched before there is something to send.
    /// Within a runtime only.
    pub fn start(config: &Config) -> Result<Self, TransportError> {
        let (stop, stopping) = watch::channel(None);
        let queue = || Arc::new(Queue::with_capacity(config.spool_max));
        let (logs, traces) = (queue(), queue());
        let targets = [&config.logs, &config.traces];
        // Before a task looks into a queue: what an earlier agent left goes first.
        let spool = config
            .store
            .as_deref()
            .filter(|_| targets.iter().any(|target| target.is_some()))
            .and_then(|directory| {
                Spool::start(
                    directory,
                    vec![("logs", Arc::clone(&logs)), ("spans", Arc::clone(&traces))],
                )
                .inspect_err(say_error)
                .ok()
            });
        let start = |target: &Option<Target>, queue| {
            target
                .as_ref()
                .map(|target| Lane::start(target, queue, stopping.clone()))
                .transpose()
        };
        Ok(Self {
            logs: start(&config.logs, logs)?,
            traces: start(&config.traces, traces)?,
            spool,
            agent: agent(),
            stop,
        })
    }

    /// Queues a finding, and the run that it says has ended; never waits.
    pub fn publish(&self, finding: &Finding) {
        if let Some(lane) = &self.logs {
            let observed = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            lane.queue
                .push(logs::entry(finding, &self.agent, observed.as_nanos() as u64));
        }
        if let Some(lane) = &self.traces
            && let Some(span) = spans::entry(finding)
        {
            lane.queue.push(span);
        }
    }

    /// Each signal's name, queue and counts.
    pub fn lanes(&self) -> impl Iterator<Item = (&str, &Arc<Queue>, &Arc<Counts>)> {
        [&self.logs, &self.traces]
            .into_iter()
            .flatten()
            .map(|lane| (lane.name.as_str(), &lane.queue, &lane.counts))
    }

    /// Delivers what waits until the deadline, keeps the rest in the store, and says what became of it.
    pub async fn finish(self, deadline: Instant) {
        let Self {
            logs,
            traces,
            spool,
            stop,
            ..
        } = self;
        stop.send_replace(Some(deadline));
        let kept = spool.is_some();
        for lane in [logs, traces].into_iter().flatten() {
            lane.finish(kept).await;
        }
        if let Some(spool) = spool {
            // A sync is some milliseconds of disk.
            tokio::task::block_in_place(|| spool.finish());
        }
    }
}

fn say_error(error: &impl std::fmt::Display) {
    say(error);
}

impl Lane {
    fn start(
        target: &Target,
        queue: Arc<Queue>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Result<Self, TransportError> {
        let counts = Arc::new(Counts::default());
        let host = target.endpoint.authority().map_or("", |authority| authority.as_str());
        let name = format!("OTLP {} to {host}", target.signal.name());
        let delivery = Delivery {
            queue: Arc::clone(&queue),
            transport: Transport::new(target)?,
            counts: Arc::clone(&counts),
            name: name.clone(),
            stop,
        };
        Ok(Self {
            name,
            queue,
            counts,
            task: tokio::spawn(delivery.run()),
        })
    }

    async fn finish(self, kept: bool) {
        // A task that panicked has delivered nothing more: the depth below tells.
        let _ = self.task.await;
        let Depth { entries, dropped, .. } = self.queue.depth();
        if entries as u64 + dropped > 0 {
            let delivered = self.counts.delivered.load(Relaxed);
            let fate = if kept {
                "kept in the store for the next start"
            } else {
                "lost: no store is configured"
            };
            say(format_args!(
                "{}: {delivered} records delivered, {entries} not delivered before the stop deadline ({fate}), \
                 {dropped} dropped because the queue was full",
                self.name
            ));
        }
    }
}

/// The agent's own Resource.
fn agent() -> Resource {
    let host = rustix::system::uname();
    logs::resource([
        (semconv::SERVICE_NAME, "observer"),
        (semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        (semconv::HOST_NAME, &host.nodename().to_string_lossy()),
    ])
}
