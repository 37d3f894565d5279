//! Inspections: takes the engine's wishes for facts and kill counters, reads files, produces Inputs.
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

use observer_core::{
    Input, What,
    process::{ProcessKey, PublishedResource},
};

use super::{clock, intake::Intake, names::Names, pulse::Pulse};
use crate::source::{Cgroups, ProcError, Procfs};

/// Wishes waiting at most: an exec storm beyond that loses inspections, counted.
const WAITING: usize = 16_384;
/// How often it shows that it lives while nothing is asked. A file of /proc may never answer: a process that hangs in the
/// kernel holds the lock that reading its memory map takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What an inspector is asked for.
#[derive(Debug)]
pub(super) enum Wish {
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
    wishes: SyncSender<Wish>,
    intake: Intake,
}

impl Inspector {
    /// Starts the thread; it ends when every [`Inspector`] is dropped.
    pub(super) fn start(
        procfs: Arc<Procfs>,
        cgroups: Cgroups,
        names: Names,
        pulse: Pulse,
        intake: Intake,
    ) -> std::io::Result<Self> {
        let (wishes, receiver) = sync_channel(WAITING);
        let answers = intake.clone();
        thread::Builder::new().name("inspector".into()).spawn(move || {
            let sources = Sources { procfs, cgroups, names };
            loop {
                pulse.beat(clock::boot());
                match receiver.recv_timeout(PATIENCE) {
                    Ok(wish) => {
                        if !sources.answer(wish, &answers) {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { wishes, intake })
    }

    /// Asks; a wish without room is counted.
    pub(super) fn ask(&self, wish: Wish) {
        if let Err(TrySendError::Full(wish)) = self.wishes.try_send(wish) {
            let kind = match wish {
                // It is asked for again.
                Wish::Resource(_) => return,
                Wish::Inspect(_) => "process",
                Wish::OomKills(_) => "oom_kills",
            };
            self.intake.losses().add("inspect", kind, 1);
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
    fn answer(&self, wish: Wish, intake: &Intake) -> bool {
        match wish {
            Wish::Inspect(key) => {
                let what = match self.procfs.inspect(key) {
                    Ok(facts) => {
                        self.names.tell(&facts, intake);
                        What::Process(Box::new(facts))
                    }
                    Err(ProcError::Gone { .. }) => What::Vanished(key),
                    Err(_) => {
                        intake.losses().add("inspect", "process", 1);
                        return true;
                    }
                };
                intake.answer(Input {
                    at: clock::boot(),
                    what,
                })
            }
            Wish::Resource(process) => match self.procfs.published_resource(process) {
                Ok(Some(attributes)) => intake.answer(Input {
                    at: clock::boot(),
                    what: What::Resource(Box::new(PublishedResource { process, attributes })),
                }),
                // Most publish none. What may not be read (SYS_PTRACE) stays unknown, and it is asked for again.
                Ok(None) | Err(_) => true,
            },
            Wish::OomKills(path) => self.cgroups.oom_kills(&path).into_iter().all(|(cgroup, count)| {
                intake.answer(Input {
                    at: clock::boot(),
                    what: What::OomKills { cgroup, count },
                })
            }),
        }
    }
}
