//! Processes: reads execs, forks, facts and exits, produces what is known of each (pid, start).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{ids::ContainerId, pairs};
use crate::{
    exit::SignalSeen,
    kernel::{ExitStatus, OomVictim},
    process::{ProcessFacts, ProcessKey},
    time::BootTime,
};

/// Most processes kept. A host's default `pid_max` is 32,768 (4 million at most); what is not in a watched
/// container can be forgotten at little cost.
pub(crate) const MAX_PROCESSES: usize = 16_384;
/// Most exits of processes not known, kept for facts that arrive after them.
const MAX_TOMBSTONES: usize = 4_096;
/// Signals kept of one process: the newest.
const MAX_SIGNALS: usize = 16;

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) key: ProcessKey,
    /// Its parent when last told; `start` is 0 where only the pid is known.
    pub(crate) parent: ProcessKey,
    pub(crate) comm: String,
    /// Its memory cgroup; empty until inspected.
    pub(crate) cgroup: String,
    /// The nearest cgroup with a limit of its own, where no engine and no unit made it.
    #[serde(default)]
    pub(crate) limit_cgroup: Option<String>,
    /// Facts of a watched process.
    pub(crate) facts: Option<Arc<ProcessFacts>>,
    /// Inspected, and not a runtime the agent watches.
    pub(crate) other: bool,
    /// Inspection is under way.
    pub(crate) asked: bool,
    /// It replaced its image since it was asked after: the answer may be about the former one.
    #[serde(default)]
    pub(crate) again: bool,
    pub(crate) container: Option<ContainerId>,
    pub(crate) watched: bool,
    pub(crate) traced: bool,
    /// Not heard of since the agent was away.
    pub(crate) unasked: bool,
    pub(crate) rss: Option<u64>,
    pub(crate) rss_anon: Option<u64>,
    /// Largest resident set of any sample.
    #[serde(default)]
    pub(crate) rss_seen: Option<u64>,
    /// Bytes per second between its last two samples.
    pub(crate) pace: f64,
    pub(crate) sampled: BootTime,
    pub(crate) signals: VecDeque<SignalSeen>,
    pub(crate) mark: Option<Mark>,
    pub(crate) death: Option<Death>,
}

/// The kernel marked it as a victim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) at: BootTime,
    pub(crate) anon: Option<u64>,
    pub(crate) file: Option<u64>,
    pub(crate) shmem: Option<u64>,
}

impl Mark {
    /// As the kernel told it.
    pub(crate) const fn of(at: BootTime, victim: &OomVictim) -> Self {
        Self {
            at,
            anon: victim.anon,
            file: victim.file,
            shmem: victim.shmem,
        }
    }

    /// What the victim held, bytes; `None` where this kernel does not tell.
    pub(crate) fn held(&self) -> Option<u64> {
        let rest = self.file.unwrap_or(0).saturating_add(self.shmem.unwrap_or(0));
        self.anon.map(|anon| anon.saturating_add(rest))
    }
}

/// Its last thread has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Death {
    pub(crate) at: BootTime,
    pub(crate) status: Option<ExitStatus>,
    /// Largest resident set of its last image, bytes, by the kernel's own count.
    #[serde(default)]
    pub(crate) peak_rss: Option<u64>,
    /// A bound of that from above.
    #[serde(default)]
    pub(crate) max_rss: Option<u64>,
    /// An exit was seen; false where the process was only found missing.
    pub(crate) seen: bool,
    /// Already told as a victim of an OOM incident.
    #[serde(rename = "told")]
    pub(crate) reported: bool,
    /// The run it belonged to has taken note of it.
    pub(crate) decided: bool,
}

impl Death {
    pub(crate) const fn seen(at: BootTime, status: Option<ExitStatus>) -> Self {
        Self {
            at,
            status,
            peak_rss: None,
            max_rss: None,
            seen: true,
            reported: false,
            decided: false,
        }
    }

    pub(crate) const fn unseen(at: BootTime) -> Self {
        Self {
            at,
            status: None,
            peak_rss: None,
            max_rss: None,
            seen: false,
            reported: false,
            decided: false,
        }
    }
}

impl Process {
    pub(crate) fn alive(&self) -> bool {
        self.death.is_none()
    }

    pub(crate) fn signal(&mut self, seen: SignalSeen) {
        if self.signals.len() == MAX_SIGNALS {
            self.signals.pop_front();
        }
        self.signals.push_back(seen);
    }
}

/// All processes known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Processes {
    #[serde(with = "pairs")]
    by_key: BTreeMap<ProcessKey, Process>,
    #[serde(with = "pairs")]
    tombstones: BTreeMap<ProcessKey, Death>,
    order: VecDeque<ProcessKey>,
}

impl Processes {
    pub(crate) fn get(&self, key: &ProcessKey) -> Option<&Process> {
        self.by_key.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &ProcessKey) -> Option<&mut Process> {
        self.by_key.get_mut(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.by_key.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        self.by_key.values_mut()
    }

    /// The process with this key; where `start` is 0, the youngest with its pid.
    pub(crate) fn resolve(&self, key: ProcessKey) -> Option<ProcessKey> {
        if key.start != 0 {
            return self.by_key.contains_key(&key).then_some(key);
        }
        self.with_pid(key.pid).next_back().map(|p| p.key)
    }

    /// Forgets who belongs to no container: a look at /proc finds those that are still there.
    pub(crate) fn forget_unplaced(&mut self) {
        self.by_key.retain(|_, process| process.container.is_some());
    }

    /// All known with this pid, oldest first.
    pub(crate) fn with_pid(&self, pid: u32) -> impl DoubleEndedIterator<Item = &Process> {
        let from = ProcessKey { pid, start: 0 };
        let to = ProcessKey { pid, start: u64::MAX };
        self.by_key.range(from..=to).map(|(_, p)| p)
    }

    /// The process, made if unknown. An earlier exit for the same key is applied to it.
    pub(crate) fn enter(&mut self, key: ProcessKey, evicted: &mut u64) -> &mut Process {
        if !self.by_key.contains_key(&key) && self.by_key.len() >= MAX_PROCESSES {
            self.make_room(evicted);
        }
        let death = self.tombstones.get(&key).copied();
        self.by_key.entry(key).or_insert_with(|| Process {
            key,
            death,
            ..Process::default()
        })
    }

    /// An exit of a process that is not known: kept for facts that are still on their way.
    pub(crate) fn bury(&mut self, key: ProcessKey, death: Death) {
        if self.tombstones.insert(key, death).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_TOMBSTONES {
            if let Some(oldest) = self.order.pop_front() {
                self.tombstones.remove(&oldest);
            }
        }
    }

    /// Whether its exit is known, though nothing else is.
    pub(crate) fn buried(&self, key: &ProcessKey) -> bool {
        self.tombstones.contains_key(key)
    }

    pub(crate) fn remove(&mut self, key: &ProcessKey) -> Option<Process> {
        let process = self.by_key.remove(key)?;
        if let Some(death) = process.death {
            self.bury(*key, death);
        }
        Some(process)
    }

    /// Forgets a sixteenth of the bound: processes outside watched containers, oldest start first.
    fn make_room(&mut self, evicted: &mut u64) {
        let mut idle: Vec<(bool, u64, ProcessKey)> = self
            .by_key
            .values()
            .filter(|p| p.container.is_none())
            .map(|p| (p.alive(), p.key.start, p.key))
            .collect();
        idle.sort_unstable();
        for (alive, _, key) in idle.into_iter().take(MAX_PROCESSES / 16) {
            self.by_key.remove(&key);
            *evicted += u64::from(alive);
        }
    }
}
