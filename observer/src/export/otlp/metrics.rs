//! Delivery of metrics: sends the newest points, once. What fails is not sent again, because the next points tell as
//! much: levels are read anew, counts go on from what was delivered.

use std::sync::{Arc, PoisonError, atomic::Ordering::Relaxed};

use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use tokio::sync::watch;

use super::{
    delivery::{BATCH_BYTES, Counts},
    delta::Delta,
    outcome::Outcome,
    points::{Taken, requests},
    signal::{name, now},
    transport::{Transport, TransportError},
};
use crate::{
    config::otlp::{Signal, Target, Temporality},
    export::metrics::Group,
    snapshot::ExporterView,
    terminal::say,
};

/// The way of metrics out. Counts are of requests.
#[derive(Debug)]
pub(super) struct MetricsExporter {
    name: String,
    newest: watch::Sender<Arc<(Vec<Group>, u64)>>,
    counts: Arc<Counts>,
}

impl MetricsExporter {
    pub(super) fn start(target: &Target) -> Result<Self, TransportError> {
        let (newest, receiver) = watch::channel(Arc::default());
        let (name, counts) = (name(target), Arc::new(Counts::default()));
        let sender = Sender {
            transport: Transport::new(target)?,
            delta: (target.temporality == Temporality::Delta).then(|| Delta::new(now())),
            name: name.clone(),
            counts: Arc::clone(&counts),
        };
        tokio::spawn(sender.run(receiver));
        Ok(Self { name, newest, counts })
    }

    pub(super) fn send(&self, groups: Vec<Group>, at: u64) {
        self.newest.send_replace(Arc::new((groups, at)));
    }

    pub(super) fn view(&self) -> ExporterView {
        self.counts.view(&self.name, Signal::Metrics)
    }
}

struct Sender {
    transport: Transport,
    /// What was delivered of each count, where differences are asked for.
    delta: Option<Delta>,
    name: String,
    counts: Arc<Counts>,
}

impl Sender {
    async fn run(mut self, mut newest: watch::Receiver<Arc<(Vec<Group>, u64)>>) {
        while newest.changed().await.is_ok() {
            let taken = Arc::clone(&newest.borrow_and_update());
            self.send(&taken.0, taken.1).await;
        }
    }

    async fn send(&mut self, groups: &[Group], at: u64) {
        let differences = self.delta.as_mut().map(|delta| delta.of(groups));
        let counts = if differences.is_some() {
            AggregationTemporality::Delta
        } else {
            AggregationTemporality::Cumulative
        };
        let sent = differences.as_deref().unwrap_or(groups);
        for (range, request) in requests(sent, Taken { at, counts }, BATCH_BYTES) {
            let failed = match self.transport.send(request).await {
                Outcome::Delivered { rejected, message } => {
                    self.counts.delivered.fetch_add(1, Relaxed);
                    self.counts.rejected.fetch_add(rejected, Relaxed);
                    if let Some(delta) = &mut self.delta {
                        delta.delivered(groups[range].iter(), at);
                    }
                    (rejected > 0).then(|| format!("{rejected} points were rejected: {message}"))
                }
                Outcome::Later { why, .. } | Outcome::Refused { why } => {
                    self.counts.refused.fetch_add(1, Relaxed);
                    Some(why)
                }
            };
            self.failing(failed);
        }
    }

    /// Says it once when it begins to fail, and once when it goes on.
    fn failing(&self, why: Option<String>) {
        let mut failing = self.counts.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = &self.name;
        match (&*failing, &why) {
            (None, Some(why)) => say(format_args!(
                "{name}: not delivered ({why}); the next points will be tried"
            )),
            (Some(_), None) => say(format_args!("{name}: delivered again")),
            _ => {}
        }
        *failing = why;
    }
}
