//! Containers: one life of a container, a systemd service or a bare process with its children.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    ids::{ContainerId, SlotId},
    pairs,
    run::Run,
};
use crate::{
    container::{Owner, owner},
    container_facts::ContainerFacts,
    exit::End,
    identity::Home,
    process::ProcessKey,
    sample::Limit,
    time::BootTime,
};

/// Most containers alive at once: a node runs at most some hundred pods.
pub(crate) const MAX_CONTAINERS: usize = 4_096;
/// Most processes counted as members of one container.
pub(crate) const MAX_MEMBERS: usize = 1_024;

/// One life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) home: Home,
    /// Memory cgroup.
    pub(crate) cgroup: String,
    pub(crate) slot: SlotId,
    /// What Kubernetes or an engine says of it.
    pub(crate) named: Option<Arc<ContainerFacts>>,
    /// Known processes that are alive.
    pub(crate) members: BTreeSet<ProcessKey>,
    /// Deaths not yet decided.
    pub(crate) dying: BTreeSet<ProcessKey>,
    /// The first, topmost Node process; stays named after its death.
    pub(crate) main: ProcessKey,
    /// The main process has ended; another may take its place.
    pub(crate) main_dead: bool,
    /// How the last main process ended, once decided.
    pub(crate) main_end: Option<(BootTime, End)>,
    /// Its cgroup was released, or another life began in its place.
    pub(crate) gone: bool,
    /// When the last member known to have died did so.
    pub(crate) last_exit: BootTime,
    /// Kill counters, by cgroup path: as first read, and as last read.
    #[serde(with = "pairs")]
    pub(crate) oom_kills: BTreeMap<String, (u64, u64)>,
    /// When one of them was last read.
    #[serde(default)]
    pub(crate) oom_kills_read: BootTime,
    /// Its pod is not to be observed: nothing is said of it.
    #[serde(default)]
    pub(crate) left_out: bool,
    pub(crate) run: Run,
}

impl Container {
    /// The limit that is its own or its pod's. One further above, as the node's for all its pods, is a ceiling that it shares
    /// with everybody, and nothing that its author has set.
    pub(crate) fn own_limit(&self) -> Option<&Limit> {
        let of_its_pod = |limit: &str| match (owner(limit), owner(&self.cgroup)) {
            (Some(Owner::Pod { uid, container: None }), Some(Owner::Pod { uid: own, .. })) => uid == own,
            _ => false,
        };
        let bare = matches!(self.home, Home::Tree(_));
        let limit = self.run.limit.as_ref();
        limit.filter(|limit| bare || limit.cgroup == self.cgroup || of_its_pod(&limit.cgroup))
    }

    /// Whether its own kill counter, or an ancestor's, has risen and not been accounted for: (own, ancestor's).
    pub(crate) fn oom_kills_rose(&self) -> (Option<bool>, Option<bool>) {
        let mut own = None;
        let mut ancestor = None;
        for (path, (first, last)) in &self.oom_kills {
            let rose = last > first;
            let which = if *path == self.cgroup { &mut own } else { &mut ancestor };
            *which = Some(which.unwrap_or(false) || rose);
        }
        (own, ancestor)
    }

    /// The counters as they stand become the baseline of the next question.
    pub(crate) fn settle_oom_kills(&mut self) {
        for (first, last) in self.oom_kills.values_mut() {
            *first = *last;
        }
    }

    /// Takes a reading of a kill counter. A counter that shrank belongs to a cgroup made anew.
    pub(crate) fn count_oom_kills(&mut self, at: BootTime, cgroup: &str, count: u64) {
        self.oom_kills_read = self.oom_kills_read.max(at);
        if let Some((first, last)) = self.oom_kills.get_mut(cgroup) {
            if count < *last {
                *first = count;
            }
            *last = count;
        } else if self.oom_kills.len() < 16 {
            self.oom_kills.insert(cgroup.to_owned(), (count, count));
        }
    }
}

/// All containers alive or not yet settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Containers {
    next: u64,
    #[serde(with = "pairs")]
    by_id: BTreeMap<ContainerId, Container>,
    /// The youngest container of each home.
    #[serde(with = "pairs")]
    by_home: BTreeMap<Home, ContainerId>,
}

impl Containers {
    pub(crate) fn get(&self, id: ContainerId) -> Option<&Container> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ContainerId) -> Option<&mut Container> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn at(&self, home: &Home) -> Option<&Container> {
        self.by_home.get(home).and_then(|id| self.by_id.get(id))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Container> {
        self.by_id.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        self.by_id.values_mut()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.by_id.len() >= MAX_CONTAINERS
    }

    pub(crate) fn next_id(&mut self) -> ContainerId {
        self.next += 1;
        ContainerId(self.next)
    }

    pub(crate) fn insert(&mut self, container: Container) {
        self.by_home.insert(container.home.clone(), container.id);
        self.by_id.insert(container.id, container);
    }

    /// Another thing holds this container's processes together from now on.
    pub(crate) fn rehome(&mut self, id: ContainerId, home: Home) {
        if let Some(container) = self.by_id.get_mut(&id) {
            let former = std::mem::replace(&mut container.home, home.clone());
            if self.by_home.get(&former) == Some(&id) {
                self.by_home.remove(&former);
            }
            self.by_home.insert(home, id);
        }
    }

    pub(crate) fn remove(&mut self, id: ContainerId) -> Option<Container> {
        let container = self.by_id.remove(&id)?;
        if self.by_home.get(&container.home) == Some(&id) {
            self.by_home.remove(&container.home);
        }
        Some(container)
    }
}
