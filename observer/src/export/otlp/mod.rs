//! OTLP: reads findings, produces export requests under each workload's own Resource, delivered or counted.
//!
//! Not the OpenTelemetry SDK, which knows one Resource per provider and gives up after some retries
//! (docs/adr/0004-otlp-without-the-sdk.md).

mod batch;
mod codec;
mod delivery;
mod logs;
mod queue;
mod transport;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use observer_core::{Finding, semconv};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

pub use batch::SCHEMA_URL;
pub use delivery::Counts;
pub use queue::Depth;
pub use transport::TransportError;

use crate::{command::say, config::otlp::Target};
use delivery::Delivery;
use queue::Queue;
use transport::Transport;

/// Sends events over OTLP, where a target is configured.
#[derive(Debug)]
pub struct Otlp {
    logs: Option<Lane>,
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
    pub fn start(logs: Option<&Target>) -> Result<Self, TransportError> {
        let (stop, stopping) = watch::channel(None);
        let logs = logs.map(|target| Lane::start(target, stopping)).transpose()?;
        Ok(Self {
            logs,
            agent: agent(),
            stop,
        })
    }

    /// Queues a finding; never waits.
    pub fn publish(&self, finding: &Finding) {
        if let Some(lane) = &self.logs {
            let observed = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            lane.queue
                .push(logs::entry(finding, &self.agent, observed.as_nanos() as u64));
        }
    }

    /// Delivers what waits until the deadline, and says what could not be.
    pub async fn finish(self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
        if let Some(lane) = self.logs {
            lane.finish().await;
        }
    }
}

impl Lane {
    fn start(target: &Target, stop: watch::Receiver<Option<Instant>>) -> Result<Self, TransportError> {
        let (queue, counts) = (Arc::new(Queue::default()), Arc::new(Counts::default()));
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

    async fn finish(self) {
        // A task that panicked has delivered nothing more: the depth below tells.
        let _ = self.task.await;
        let Depth { entries, dropped, .. } = self.queue.depth();
        if entries as u64 + dropped > 0 {
            let delivered = self.counts.delivered.load(Relaxed);
            say(format_args!(
                "{}: {delivered} records delivered, {entries} not delivered before the stop deadline, \
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
