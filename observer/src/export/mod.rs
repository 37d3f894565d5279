//! Exporters: read findings, produce lines on standard output, OTLP and Kubernetes Events.

#[cfg(feature = "kubernetes")]
pub(crate) mod kubernetes_events;
#[cfg(not(feature = "kubernetes"))]
#[path = "kubernetes_events_absent.rs"]
pub(crate) mod kubernetes_events;
pub mod line;
pub mod metrics;
pub mod otlp;
pub mod prometheus;
mod stdout;

use observer_core::{Finding, finding::EndedRun};
use tokio::time::Instant;

use crate::{config::Config, snapshot::ExporterView};
use kubernetes_events::KubernetesEvents;
use line::Lines;
use otlp::{Otlp, SpoolCounts};
use stdout::Stdout;

/// Why an exporter could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The target cannot be used.
    #[error(transparent)]
    Transport(#[from] otlp::TransportError),
    /// No thread for standard output.
    #[error("cannot start the thread that prints: {0}")]
    Thread(#[from] std::io::Error),
}

/// Everywhere findings go.
#[derive(Debug)]
pub struct Exporters {
    lines: Lines,
    stdout: Stdout,
    otlp: Otlp,
    events: Option<KubernetesEvents>,
}

impl Exporters {
    /// Sets them up. The network is not touched yet. Within a runtime only.
    pub fn start(config: &Config) -> Result<Self, ExportError> {
        Ok(Self {
            lines: Lines::new(config.output),
            stdout: Stdout::start()?,
            otlp: Otlp::start(config)?,
            events: KubernetesEvents::start(config),
        })
    }

    /// Hands a finding to each. Never waits.
    pub fn publish(&self, finding: &Finding) {
        self.stdout.print(self.lines.of(finding));
        self.otlp.publish(finding);
        if let Some(events) = &self.events {
            events.publish(finding);
        }
    }

    /// Hands an ended run to those that tell of runs. Never waits.
    pub fn publish_run(&self, run: &EndedRun) {
        self.otlp.publish_run(run);
    }

    /// What the spool counts of itself, where there is one.
    pub fn spool(&self) -> Option<&SpoolCounts> {
        self.otlp.spool()
    }

    /// Findings that standard output did not take.
    pub fn not_printed(&self) -> u64 {
        self.stdout.lost()
    }

    /// Each signal's delivery.
    pub fn exporters(&self) -> Vec<ExporterView> {
        let mut exporters = self.otlp.exporters();
        exporters.extend(self.events.as_ref().map(KubernetesEvents::view));
        exporters
    }

    /// Whether metrics go anywhere.
    pub fn wants_metrics(&self) -> bool {
        self.otlp.wants_metrics()
    }

    /// Sends points, taken at `now`, nanoseconds since 1970. Never waits.
    pub fn send_metrics(&self, groups: Vec<metrics::Group>, now: u64) {
        self.otlp.send_metrics(groups, now);
    }

    /// The agent's own points, of which the newest go out at the next export.
    pub fn set_own_metrics(&self, points: Vec<metrics::Point>) {
        self.otlp.set_own_metrics(points);
    }

    /// Delivers what is queued until the deadline.
    pub async fn finish(self, deadline: Instant) {
        let Self {
            stdout, otlp, events, ..
        } = self;
        // Side by side: neither takes the other's time.
        let events = async {
            if let Some(events) = events {
                events.finish(deadline).await;
            }
        };
        tokio::join!(events, otlp.finish(deadline));
        stdout.finish(deadline.saturating_duration_since(Instant::now()));
    }
}
