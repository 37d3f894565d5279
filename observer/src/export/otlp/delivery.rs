//! Delivery of one signal: reads batches from a queue, sends them until they are taken or refused, produces counts.
//!
//! produced = delivered + rejected + refused + dropped + waiting, at any instant.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    batch,
    outcome::Outcome,
    queue::{Batch, Queue},
    transport::Transport,
};
use crate::{
    config::otlp::{Retry, Signal},
    snapshot::ExporterView,
    terminal::say,
};

/// Records in one request at most.
const BATCH_RECORDS: usize = 512;
/// Bytes of one request at most, about: gRPC servers refuse 4 MiB by default.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// How long a first record waits for others.
const LINGER: Duration = Duration::from_millis(200);
/// Longest wait between two attempts while the agent stops.
const STOPPING: Duration = Duration::from_secs(1);
/// Longest wait a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// What became of the records of one signal.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken by the receiver.
    pub delivered: AtomicU64,
    /// Rejected by the receiver within a request that it took (partial success).
    pub rejected: AtomicU64,
    /// Refused for good: the receiver said that they must not be sent again.
    pub refused: AtomicU64,
    /// Requests sent again.
    pub retries: AtomicU64,
    /// Why the last request failed, while it does.
    pub failing: Mutex<Option<String>>,
}

impl Counts {
    /// As the status shows them; what waits is the queue's to tell.
    pub(super) fn view(&self, name: &str, signal: Signal) -> ExporterView {
        ExporterView {
            name: name.to_owned(),
            signal: signal.name().to_owned(),
            delivered: self.delivered.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            refused: self.refused.load(Relaxed),
            retries: self.retries.load(Relaxed),
            failing: self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..Default::default()
        }
    }
}

/// Delivers until asked to stop, and then until the queue is empty or the deadline has passed.
pub(super) struct Delivery {
    /// Where records wait.
    pub queue: Arc<Queue>,
    /// Where they go.
    pub transport: Transport,
    /// What became of them.
    pub counts: Arc<Counts>,
    /// How long to wait after failures.
    pub retry: Retry,
    /// `OTLP logs to HOST`, for messages.
    pub name: String,
    /// Becomes a deadline when the agent stops.
    pub stop: watch::Receiver<Option<Instant>>,
}

impl Delivery {
    /// Runs to the end.
    pub(super) async fn run(mut self) {
        loop {
            if self.queue.depth().entries == 0 {
                if self.stop.borrow().is_some() {
                    return;
                }
                tokio::select! {
                    () = self.queue.arrived() => self.linger().await,
                    _ = self.stop.changed() => {}
                }
                continue;
            }
            if let Some(batch) = self.queue.batch(BATCH_RECORDS, BATCH_BYTES)
                && !self.deliver(batch).await
            {
                return;
            }
        }
    }

    /// Lets a first record wait for others, unless the agent stops.
    async fn linger(&mut self) {
        if self.stop.borrow().is_none() {
            tokio::select! {
                () = sleep(LINGER) => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Sends one batch until its fate is known. False where the deadline passed first.
    async fn deliver(&mut self, mut batch: Batch) -> bool {
        let mut failures = 0_u32;
        let mut since = None;
        loop {
            let sent = batch.entries.len();
            let request = batch::request(&batch.entries);
            let outcome = tokio::select! {
                outcome = self.transport.send(request) => outcome,
                () = passed(self.stop.clone()) => return false,
            };
            match outcome {
                Outcome::Delivered { rejected, message } => {
                    self.taken(sent as u64, rejected, &message, since);
                    self.queue.acknowledge(&batch, sent);
                    return true;
                }
                // One record may spoil a request: halve it until that one is found.
                Outcome::Refused { .. } if sent > 1 => batch.entries.truncate(sent / 2),
                Outcome::Refused { why } => {
                    self.counts.refused.fetch_add(1, Relaxed);
                    say(format_args!(
                        "{}: refused, dropped and not sent again: {why}",
                        self.name
                    ));
                    self.queue.acknowledge(&batch, sent);
                    return true;
                }
                Outcome::Later { after, why } => {
                    since.get_or_insert_with(Instant::now);
                    self.counts.retries.fetch_add(1, Relaxed);
                    self.failing(Some(why));
                    let wait = backoff(self.retry, failures, after, fastrand::f64());
                    failures += 1;
                    if !self.wait(wait).await {
                        return false;
                    }
                }
            }
        }
    }

    fn taken(&self, sent: u64, rejected: u64, message: &str, failing_since: Option<Instant>) {
        let rejected = rejected.min(sent);
        self.counts.delivered.fetch_add(sent - rejected, Relaxed);
        self.counts.rejected.fetch_add(rejected, Relaxed);
        if rejected > 0 || !message.is_empty() {
            say(format_args!(
                "{}: the receiver rejected {rejected} of {sent} records: {message}",
                self.name
            ));
        }
        if let Some(since) = failing_since {
            say(format_args!(
                "{}: delivered again after {:.0?}",
                self.name,
                since.elapsed()
            ));
        }
        self.failing(None);
    }

    /// Says it once when delivery begins to fail, not at every attempt.
    fn failing(&self, why: Option<String>) {
        let mut failing = self.counts.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.is_none()
            && let Some(why) = &why
        {
            say(format_args!(
                "{}: not delivered ({why}); records wait and are sent again",
                self.name
            ));
        }
        *failing = why;
    }

    /// Waits; false where the deadline passes first. A request to stop cuts a long wait short.
    async fn wait(&mut self, wait: Duration) -> bool {
        let stopping = self.stop.borrow().is_some();
        tokio::select! {
            () = sleep(if stopping { wait.min(STOPPING) } else { wait }) => true,
            () = passed(self.stop.clone()) => false,
            Ok(()) = self.stop.changed(), if !stopping => true,
        }
    }
}

/// Returns when the stop deadline has passed; never, while there is none.
async fn passed(mut stop: watch::Receiver<Option<Instant>>) {
    let deadline = stop.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Exponential with equal jitter: between half and all of the doubled wait, and no sooner than the receiver asked.
fn backoff(retry: Retry, failures: u32, asked: Option<Duration>, random: f64) -> Duration {
    let full = retry.initial.saturating_mul(1 << failures.min(16)).min(retry.longest);
    let jittered = full.mul_f64(0.5 + random / 2.0);
    asked.map_or(jittered, |asked| asked.min(LONGEST_ASKED).max(jittered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound_and_waits_as_long_as_the_receiver_asks() {
        let retry = Retry {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        };
        let backoff = |failures, asked, random| backoff(retry, failures, asked, random);
        let upper: Vec<u64> = (0..7).map(|n| backoff(n, None, 1.0).as_secs()).collect();
        assert_eq!(upper, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff(3, None, 0.0), Duration::from_secs(4));
        assert_eq!(backoff(0, Some(Duration::from_secs(40)), 0.5), Duration::from_secs(40));
        assert_eq!(backoff(0, Some(Duration::from_hours(24)), 0.5), LONGEST_ASKED);
        assert_eq!(backoff(u32::MAX, None, 1.0), retry.longest);
    }
}
