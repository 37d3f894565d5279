//! Sampling: takes the engine's requests to watch and to trace, reads levels and growth counters at every interval,
//! produces samples.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use observer_common::growth::GrowthCount;
use observer_core::{Input, Request, What, process::ProcessKey, sample::Growth};

use super::{heartbeat::Heartbeat, input_channel::InputSender};
use crate::{
    clock,
    kernel::Kernel,
    source::{ProcError, Sampler, WatchError},
    terminal::say,
};

/// The engine's end of the sampling thread. Unbounded, because the engine's own registry bounds what it requests.
#[derive(Clone, Debug)]
pub(super) struct Sampling(Sender<Request>);

impl Sampling {
    /// Starts the thread; it ends when every [`Sampling`] is dropped.
    pub(super) fn start(
        sampler: Sampler,
        kernel: Kernel,
        interval: Duration,
        heartbeat: Heartbeat,
        sender: InputSender,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = channel();
        let thread = Thread {
            sampler,
            kernel,
            heartbeat,
            sender,
            full: false,
        };
        thread::Builder::new()
            .name("sampler".into())
            .spawn(move || thread.run(&receiver, interval))?;
        Ok(Self(requests))
    }

    /// Passes a request on.
    pub(super) fn ask(&self, request: Request) {
        // The thread ends before the engine only where the agent stops.
        let _ = self.0.send(request);
    }
}

struct Thread {
    sampler: Sampler,
    kernel: Kernel,
    heartbeat: Heartbeat,
    sender: InputSender,
    /// The limit of watched processes was reached, and that was said.
    full: bool,
}

impl Thread {
    fn run(mut self, requests: &Receiver<Request>, interval: Duration) {
        let mut next = Instant::now() + interval;
        loop {
            let patience = next.saturating_duration_since(Instant::now());
            // Not left to the time-out below: requests that never cease would put sampling off for ever.
            if patience.is_zero() {
                let since = clock::boot();
                if !self.sweep() {
                    return;
                }
                self.heartbeat.beat(since);
                // A sweep that took longer than the interval is followed by the next at once, not by a burst.
                next = (next + interval).max(Instant::now());
                continue;
            }
            match requests.recv_timeout(patience) {
                Ok(request) => self.dispatch(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn dispatch(&mut self, request: Request) {
        match request {
            Request::Watch { process, cgroup } => self.watch(process, &cgroup),
            Request::Unwatch(process) => {
                self.sampler.unwatch(process);
                self.kernel.unwatch(process);
            }
            Request::Trace { process, on } => {
                if self.kernel.trace(process, on).is_err() {
                    self.sender.losses().add("watch", "growth", 1);
                }
            }
            // Answered by others.
            Request::Inspect(_) | Request::ReadResource(_) | Request::OomKills { .. } | Request::ReadHeap(_) => {}
        }
    }

    fn watch(&mut self, process: ProcessKey, cgroup: &str) {
        match self.sampler.watch(process, cgroup) {
            Ok(()) => {
                self.full = false;
                // Its samples go on; only who signals it is not seen.
                if self.kernel.watch(process).is_err() {
                    self.sender.losses().add("watch", "signal", 1);
                }
            }
            Err(WatchError::Process(ProcError::Gone { .. })) => {
                self.sender.answer(Input {
                    at: clock::boot(),
                    what: What::Vanished(process),
                });
            }
            Err(error) => {
                self.sender.losses().add("watch", "process", 1);
                if !std::mem::replace(&mut self.full, true) {
                    say(format_args!("process {} is not watched: {error}", process.pid));
                }
            }
        }
    }

    /// False where the agent has stopped.
    fn sweep(&mut self) -> bool {
        let sweep = self.sampler.sample_all(clock::boot);
        self.sender.losses().add("sample", "sample", sweep.failed);
        for lost in self.kernel.drops() {
            self.sender.losses().add(&lost.stage, &lost.kind, lost.count);
        }
        sweep.inputs.into_iter().all(|mut input| {
            if let What::Sample(sample) = &mut input.what {
                sample.growth = self
                    .kernel
                    .growth(sample.process)
                    .map(|places| places.iter().map(growth).collect());
            }
            self.sender.answer(input)
        })
    }
}

fn growth(count: &GrowthCount) -> Growth {
    Growth {
        grown: count.grown,
        shrunk: count.shrunk,
    }
}
