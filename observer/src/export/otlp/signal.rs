//! One signal's way out: a queue that waits, the task that delivers from it, and what became of the records.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    delivery::{Counts, Delivery},
    queue::{Depth, Queue},
    transport::{Transport, TransportError},
};
use crate::{
    config::otlp::{Signal, Target},
    snapshot::ExporterView,
    terminal::say,
};

/// One signal's way out.
#[derive(Debug)]
pub(super) struct SignalExporter {
    name: String,
    signal: Signal,
    pub(super) queue: Arc<Queue>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl SignalExporter {
    pub(super) fn start(
        target: &Target,
        queue: Arc<Queue>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Result<Self, TransportError> {
        let counts = Arc::new(Counts::default());
        let name = name(target);
        let delivery = Delivery {
            queue: Arc::clone(&queue),
            transport: Transport::new(target)?,
            counts: Arc::clone(&counts),
            retry: target.retry,
            name: name.clone(),
            stop,
        };
        Ok(Self {
            name,
            signal: target.signal,
            queue,
            counts,
            task: tokio::spawn(delivery.run()),
        })
    }

    pub(super) fn view(&self) -> ExporterView {
        let Depth {
            entries,
            bytes,
            dropped,
            oldest,
        } = self.queue.depth();
        ExporterView {
            oldest_s: oldest.map_or(0.0, |at| now().saturating_sub(at) as f64 / 1e9),
            waiting: entries,
            waiting_bytes: bytes,
            dropped,
            ..self.counts.view(&self.name, self.signal)
        }
    }

    pub(super) async fn finish(self, kept: bool) {
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

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64
}

/// What goes where, for messages and for the status.
pub(super) fn name(target: &Target) -> String {
    let host = target.endpoint.authority().map_or("", |authority| authority.as_str());
    format!("OTLP {} to {host}", target.signal.name())
}
