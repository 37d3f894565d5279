//! Inspections: takes the engine's requests for facts and kill counters, reads files, produces Inputs.
//!
//! A thread of its own: a process may be gone in milliseconds, and a sweep over all cgroups takes tens of them.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use observer_core::{Input, What, process::ProcessKey};

use super::{heartbeat::Heartbeat, input_channel::InputSender, names::Names};
use crate::{
    clock,
    source::{Cgroups, ProcError, Procfs},
};

/// Most requests that wait: an exec storm beyond that loses inspections, counted.
const WAITING: usize = 16_384;
/// How often it shows that it lives while nothing is asked. A file of /proc may never answer: a process that hangs in the
/// kernel holds the lock that reading its memory map takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What an inspector is asked for.
#[derive(Debug)]
pub(super) enum Query {
    /// Facts of a process.
    Inspect(ProcessKey),
    /// The Resource that a process publishes.
    Resource(ProcessKey),
    /// Kill counters of a cgroup and its ancestors.
    OomKills(String),
}

/// The engine's end.
#[derive(Clone, Debug)]
pub(super) struct Inspector {
    requests: SyncSender<Query>,
    sender: InputSender,
}

impl Inspector {
    /// Starts the thread; it ends when every [`Inspector`] is dropped.
    pub(super) fn start(
        procfs: Arc<Procfs>,
        cgroups: Cgroups,
        names: Names,
        heartbeat: Heartbeat,
        sender: InputSender,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = sync_channel(WAITING);
        let answers = sender.clone();
        thread::Builder::new().name("inspector".into()).spawn(move || {
            let sources = Sources { procfs, cgroups, names };
            loop {
                heartbeat.beat(clock::boot());
                match receiver.recv_timeout(PATIENCE) {
                    Ok(request) => {
                        if !sources.answer(request, &answers) {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { requests, sender })
    }

    /// Asks; a request without room is counted.
    pub(super) fn ask(&self, request: Query) {
        if let Err(TrySendError::Full(request)) = self.requests.try_send(request) {
            let kind = match request {
                // It is asked for again.
                Query::Resource(_) => return,
                Query::Inspect(_) => "process",
                Query::OomKills(_) => "oom_kills",
            };
            self.sender.losses().add("inspect", kind, 1);
        }
    }
}

/// Where answers come from.
struct Sources {
    procfs: Arc<Procfs>,
    cgroups: Cgroups,
    names: Names,
}

impl Sources {
    /// False where the agent has stopped.
    fn answer(&self, request: Query, sender: &InputSender) -> bool {
        match request {
            Query::Inspect(key) => {
                let what = match self.procfs.inspect(key) {
                    Ok(facts) => {
                        self.names.tell(&facts, sender);
                        What::Process(Box::new(facts))
                    }
                    Err(ProcError::Gone { .. }) => What::Vanished(key),
                    Err(_) => {
                        sender.losses().add("inspect", "process", 1);
                        return true;
                    }
                };
                sender.answer(Input {
                    at: clock::boot(),
                    what,
                })
            }
            Query::Resource(process) => match self.procfs.published_resource(process) {
                Ok(published) => sender.answer(Input {
                    at: clock::boot(),
                    what: What::Resource(Box::new(published)),
                }),
                // One that has gone is told by others, and it is asked for again.
                Err(_) => true,
            },
            Query::OomKills(path) => self.cgroups.oom_kills(&path).into_iter().all(|(cgroup, count)| {
                sender.answer(Input {
                    at: clock::boot(),
                    what: What::OomKills { cgroup, count },
                })
            }),
        }
    }
}
