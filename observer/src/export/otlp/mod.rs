//! OTLP: reads findings, produces export requests under each workload's own Resource, delivered or counted: events as
//! logs, ended runs as spans.
//!
//! Not through the OpenTelemetry SDK, which knows one Resource per provider and gives up after some retries
//! (docs/adr/0010-otlp-without-the-sdk.md); what the agent measures of itself has one Resource and does (`own`).

mod batch;
mod codec;
mod delivery;
mod delta;
mod logs;
mod metrics;
mod outcome;
mod points;
mod queue;
mod self_metrics;
mod signal;
mod spans;
mod spool;
mod transport;

use std::sync::Arc;

use observer_core::{Finding, finding::EndedRun};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::{sync::watch, time::Instant};

pub use batch::{Entry, SCHEMA_URL};
pub use delivery::Counts;
pub(crate) use outcome::asked_pause;
pub use queue::{Batch, Depth, Queue};
pub use spool::{Spool, SpoolCounts};
pub use transport::TransportError;
pub(crate) use transport::install_cryptography;

use crate::{
    config::{Config, otlp::Target},
    export::metrics::{Group, Point, agent_resource},
    snapshot::ExporterView,
    terminal::say,
};
use metrics::MetricsExporter;
use self_metrics::SelfMetrics;
use signal::{SignalExporter, now};

/// Sends events and ended runs over OTLP, where a target is configured.
#[derive(Debug)]
pub struct Otlp {
    logs: Option<SignalExporter>,
    traces: Option<SignalExporter>,
    metrics: Option<MetricsExporter>,
    own: Option<SelfMetrics>,
    spool: Option<Spool>,
    agent: Resource,
    stop: watch::Sender<Option<Instant>>,
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
                    &[("logs", Arc::clone(&logs)), ("spans", Arc::clone(&traces))],
                )
                .inspect_err(say_error)
                .ok()
            });
        let start = |target: &Option<Target>, queue| {
            target
                .as_ref()
                .map(|target| SignalExporter::start(target, queue, stopping.clone()))
                .transpose()
        };
        Ok(Self {
            logs: start(&config.logs, logs)?,
            traces: start(&config.traces, traces)?,
            metrics: config.metrics.as_ref().map(MetricsExporter::start).transpose()?,
            own: config
                .metrics
                .as_ref()
                .map(|target| SelfMetrics::start(target, config.metrics_interval, &crate::host::name(config)))
                .transpose()?,
            spool,
            agent: agent(config),
            stop,
        })
    }

    /// Queues a finding; never waits.
    pub fn publish(&self, finding: &Finding) {
        if let Some(exporter) = &self.logs {
            exporter.queue.push(logs::entry(finding, &self.agent, now()));
        }
    }

    /// Queues an ended run; never waits.
    pub fn publish_run(&self, run: &EndedRun) {
        if let Some(exporter) = &self.traces {
            exporter.queue.push(spans::entry(run, now()));
        }
    }

    /// What the spool counts of itself, where there is one.
    pub fn spool(&self) -> Option<&SpoolCounts> {
        self.spool.as_ref().map(|spool| spool.counts.as_ref())
    }

    /// Whether metrics go anywhere.
    pub fn wants_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    /// Sends points, taken at `now`, nanoseconds since 1970. Never waits: while others are on their way, newer points
    /// take the place of older ones.
    pub fn send_metrics(&self, groups: Vec<Group>, now: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.send(groups, now);
        }
    }

    /// The agent's own points, of which the newest go out at the next export.
    pub fn set_own_metrics(&self, points: Vec<Point>) {
        if let Some(own) = &self.own {
            own.tell(points);
        }
    }

    /// Each signal's delivery.
    pub fn exporters(&self) -> Vec<ExporterView> {
        let exporters = [&self.logs, &self.traces]
            .into_iter()
            .flatten()
            .map(SignalExporter::view);
        exporters
            .chain(self.metrics.as_ref().map(MetricsExporter::view))
            .chain(self.own.as_ref().map(SelfMetrics::view))
            .collect()
    }

    /// Delivers what waits until the deadline, keeps the rest in the store, and says what became of it.
    pub async fn finish(self, deadline: Instant) {
        let Self {
            logs,
            traces,
            own,
            spool,
            stop,
            ..
        } = self;
        stop.send_replace(Some(deadline));
        if let Some(own) = own {
            own.finish(deadline).await;
        }
        let kept = spool.is_some();
        for exporter in [logs, traces].into_iter().flatten() {
            exporter.finish(kept).await;
        }
        if let Some(spool) = spool {
            // A sync is some milliseconds of disk.
            spool.finish();
        }
    }
}

fn say_error(error: &impl std::fmt::Display) {
    say(error);
}

/// The agent's own Resource.
fn agent(config: &Config) -> Resource {
    let resource = agent_resource(&crate::host::name(config));
    logs::resource(resource.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
