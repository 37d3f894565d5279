//! The files-only rung: lists /proc, produces the processes that appeared and those that went.
//!
//! With kernel hooks one scan at the start finds what was running before, and one after each loss of records finds
//! what they would have told. Without hooks a scan at every interval takes their place: a process that lives shorter
//! than that is never seen, and how one ended is not known.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use observer_core::{
    Input, What,
    process::{ProcessKey, Runtime},
};

use super::{heartbeat::Heartbeat, input_channel::InputSender, inspector, names::Names};
use crate::{
    clock,
    source::{ProcError, Procfs},
};

/// Asks for another scan.
#[derive(Clone, Debug)]
pub(super) struct Scanner(SyncSender<()>);

impl Scanner {
    /// Starts the thread, which scans at once, then when asked, and at every `interval` where one is given.
    pub(super) fn start(
        procfs: Arc<Procfs>,
        names: Names,
        interval: Option<Duration>,
        heartbeat: Heartbeat,
        sender: InputSender,
    ) -> std::io::Result<Self> {
        let (asks, receiver) = sync_channel(1);
        thread::Builder::new()
            .name("scanner".into())
            .spawn(move || run(&procfs, &names, interval, &heartbeat, &sender, &receiver))?;
        Ok(Self(asks))
    }

    /// Scans again soon.
    pub(super) fn again(&self) {
        // One that waits already will do for both.
        let _ = self.0.try_send(());
    }
}

fn run(
    procfs: &Procfs,
    names: &Names,
    interval: Option<Duration>,
    heartbeat: &Heartbeat,
    sender: &InputSender,
    asks: &Receiver<()>,
) {
    let mut known = BTreeMap::new();
    while scan(procfs, names, heartbeat, sender, &mut known) {
        let asked = Instant::now();
        loop {
            heartbeat.beat(clock::boot());
            match asks.recv_timeout(interval.unwrap_or(inspector::PATIENCE).min(inspector::PATIENCE)) {
                Ok(()) => break,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if interval.is_some_and(|interval| asked.elapsed() >= interval) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// One pass. `known` is what the last one found: start times by pid. False where the agent has stopped.
fn scan(
    procfs: &Procfs,
    names: &Names,
    heartbeat: &Heartbeat,
    sender: &InputSender,
    known: &mut BTreeMap<u32, u64>,
) -> bool {
    let Ok(entries) = fs::read_dir(procfs.root()) else {
        sender.losses().add("scan", "procfs", 1);
        return true;
    };
    let mut alive = BTreeMap::new();
    for pid in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        heartbeat.beat(clock::boot());
        let Some(key) = procfs.key(pid) else { continue };
        if known.get(&pid) == Some(&key.start) {
            known.remove(&pid);
            alive.insert(pid, key.start);
            continue;
        }
        match procfs.inspect(key) {
            Ok(facts) => {
                alive.insert(pid, key.start);
                // Kernel threads have no executable, and nothing to watch.
                if facts.exe.is_empty() && facts.runtime == Runtime::Other {
                    continue;
                }
                names.tell(&facts, sender);
                if !sender.answer(Input {
                    at: clock::boot(),
                    what: What::Process(Box::new(facts)),
                }) {
                    return false;
                }
            }
            Err(ProcError::Gone { .. }) => {}
            Err(_) => sender.losses().add("inspect", "process", 1),
        }
    }
    let gone = std::mem::replace(known, alive);
    gone.into_iter().all(|(pid, start)| {
        sender.answer(Input {
            at: clock::boot(),
            what: What::Vanished(ProcessKey { pid, start }),
        })
    })
}
