//! Delivery of metrics: sends the newest request, once. What fails is not sent again, because the next points tell as
//! much: counters are cumulative.

use std::sync::{Arc, PoisonError, atomic::Ordering::Relaxed};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    delivery::Counts,
    name,
    outcome::Outcome,
    transport::{Transport, TransportError},
};
use crate::{
    agent::LaneView,
    command::say,
    config::otlp::{Signal, Target},
};

/// The way of metrics out. Counts are of requests.
#[derive(Debug)]
pub(super) struct Resampled {
    name: String,
    newest: watch::Sender<Bytes>,
    counts: Arc<Counts>,
}

impl Resampled {
    pub(super) fn start(target: &Target) -> Result<Self, TransportError> {
        let mut transport = Transport::new(target)?;
        let (newest, mut receiver) = watch::channel(Bytes::new());
        let (name, counts) = (name(target), Arc::new(Counts::default()));
        let (told, counted) = (name.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let request = receiver.borrow_and_update().clone();
                let failed = match transport.send(request).await {
                    Outcome::Delivered { rejected, .. } => {
                        counted.delivered.fetch_add(1, Relaxed);
                        counted.rejected.fetch_add(rejected, Relaxed);
                        None
                    }
                    Outcome::Later { why, .. } | Outcome::Refused { why } => {
                        counted.refused.fetch_add(1, Relaxed);
                        Some(why)
                    }
                };
                let mut failing = counted.failing.lock().unwrap_or_else(PoisonError::into_inner);
                match (&*failing, &failed) {
                    (None, Some(why)) => say(format_args!(
                        "{told}: not delivered ({why}); the next points will be tried"
                    )),
                    (Some(_), None) => say(format_args!("{told}: delivered again")),
                    _ => {}
                }
                *failing = failed;
            }
        });
        Ok(Self { name, newest, counts })
    }

    pub(super) fn send(&self, request: Bytes) {
        self.newest.send_replace(request);
    }

    pub(super) fn view(&self) -> LaneView {
        self.counts.view(&self.name, Signal::Metrics)
    }
}
