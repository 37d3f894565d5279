//! New lives: reads the facts of a process that belongs to no container known, produces its container, slot and run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Engine;
use crate::{
    Output, Request,
    detect::{SlotDetector, State},
    identity::{self, About, Release, Slot, Subject, Workload},
    process::{ProcessFacts, ProcessKey},
    registry::{Container, ContainerId, Home, Process, Run, SlotId, SlotState, container::MAX_MEMBERS},
};

impl Engine {
    pub(super) fn create(&mut self, key: ProcessKey, facts: &ProcessFacts, home: Home, out: &mut Output) {
        if self.registry.containers.is_full() {
            self.registry.evictions.containers += 1;
            return;
        }
        let named = match &home {
            Home::Container(id) => self.registry.catalogue.get(id).cloned(),
            _ => None,
        };
        let slot = identity::slot(facts, named.as_deref());
        let workload = identity::workload(&slot, facts, named.as_deref());
        let release = Release::of(facts, named.as_deref());
        let before = match named {
            Some(_) => 0,
            None => self.runs_of_its_pod(&slot, facts),
        };
        let Some(slot_id) = self.slot_for(slot, facts, named.is_some()) else {
            return;
        };
        let job = identity::is_job(named.as_deref());
        if !self.ensure_slot(&slot_id, &workload, &release, job) {
            self.registry.evictions.containers += 1;
            return;
        }
        let id = self.registry.containers.next_id();
        let members = self.members_of(&home, key, id);
        let started = members
            .iter()
            .map(ProcessKey::started)
            .min()
            .unwrap_or_else(|| key.started());
        let about = About {
            facts,
            named: named.as_deref(),
            slot: &slot_id.slot,
            workload: &workload,
            version: release.version.as_ref(),
            host: &self.host.name,
            labels: self.settings.service_labels,
        };
        let (resource, refused) = identity::resource(&about);
        let Some(state) = self.registry.slots.get_mut(&slot_id) else {
            return;
        };
        state.program = identity::program(facts);
        state.runs = state.runs.max(before) + 1;
        state.last_active = self.time.now;
        state.waiting.push_back(id);
        let subject = Subject {
            workload,
            slot: slot_id.slot.clone(),
            instance: slot_id.instance,
            run: state.runs,
            version: release.name(),
            resource,
            refused,
        };
        let cgroup = identity::own_cgroup(&home, &facts.cgroup);
        let mut run = Run::new(started, started < self.time.begun, release, Arc::new(subject));
        run.number = state.runs;
        self.registry.containers.insert(Container {
            id,
            cgroup: cgroup.clone(),
            home,
            slot: slot_id.clone(),
            named,
            members,
            dying: BTreeSet::new(),
            main: key,
            main_dead: false,
            main_end: None,
            gone: false,
            last_exit: started,
            oom_kills: BTreeMap::new(),
            oom_kills_read: crate::time::BootTime::default(),
            left_out: false,
            run,
        });
        self.select(id, out);
        if let Some(process) = self.registry.processes.get_mut(&key) {
            process.container = Some(id);
        }
        if !cgroup.is_empty() {
            out.requests.push(Request::OomKills { cgroup });
        }
        self.ask_for_parent(facts, out);
        self.begin_waiting(&slot_id, out);
        self.supersede_unseen(&slot_id);
    }

    /// Makes the slot where it is new. It inherits what was said of an earlier release of its workload.
    pub(super) fn ensure_slot(&mut self, id: &SlotId, workload: &Workload, release: &Release, job: bool) -> bool {
        if self.registry.slots.get(id).is_some() {
            return true;
        }
        let config = self.detection(job);
        let mut state = SlotState::new(workload.clone(), self.time.now, config);
        if let Some(leaking) = self.leaking_detector(workload, release) {
            state.detector = leaking.carry_over(config);
        }
        self.registry
            .slots
            .insert(id.clone(), state, &mut self.registry.evictions.slots)
    }

    /// The detector with the gravest state among the other releases of this workload.
    pub(super) fn leaking_detector(&self, workload: &Workload, release: &Release) -> Option<&SlotDetector> {
        // Looked up before all slots are looked through: hardly any workload leaks.
        let releases = &self.registry.workloads.get(workload)?.releases;
        releases.iter().find(|r| r.release != *release && r.leaks())?;
        let others = self
            .registry
            .slots
            .iter()
            .map(|(_, s)| s)
            .filter(|s| s.workload == *workload);
        let leaking = others
            .filter(|s| s.release.as_ref().is_some_and(|r| r != release))
            .filter(|s| matches!(s.detector.state(), State::Likely | State::Confirmed));
        let gravest = leaking.max_by_key(|s| (s.detector.state(), s.last_active))?;
        Some(&gravest.detector)
    }

    /// A container with a name of its own lives once: if another life has begun, the one before has ended unseen.
    pub(super) fn supersede_unseen(&mut self, slot_id: &SlotId) {
        let Some(state) = self.registry.slots.get(slot_id) else {
            return;
        };
        if state.waiting.is_empty() {
            return;
        }
        let Some(container) = state.current.and_then(|id| self.registry.containers.get_mut(id)) else {
            return;
        };
        container.gone = true;
        let members: Vec<ProcessKey> = container.members.iter().copied().collect();
        for key in members {
            self.later(self.time.now, key);
        }
    }

    /// Everybody known in a home, alive.
    pub(super) fn members_of(&mut self, home: &Home, key: ProcessKey, id: ContainerId) -> BTreeSet<ProcessKey> {
        let free = self
            .registry
            .processes
            .iter()
            .filter(|p| p.container.is_none() && p.alive());
        let lives_there = |process: &&Process| match home {
            Home::Tree(_) => false,
            // The id stands in the path: cheaper to look for than to parse.
            Home::Container(id) => {
                process.cgroup.contains(id.as_str())
                    && identity::home_of_cgroup(&process.cgroup).is_some_and(|h| h == *home)
            }
            Home::Cgroup(path) => {
                process.cgroup == *path
                    || (process.cgroup.starts_with(path.as_str())
                        && identity::home_of(&process.cgroup, process.limit_cgroup.as_deref())
                            .is_some_and(|h| h == *home))
            }
        };
        let mut members: BTreeSet<ProcessKey> = free.filter(lives_there).map(|p| p.key).take(MAX_MEMBERS).collect();
        for member in &members {
            if let Some(process) = self.registry.processes.get_mut(member) {
                process.container = Some(id);
            }
        }
        if self.registry.processes.get(&key).is_some_and(Process::alive) {
            members.insert(key);
        }
        members
    }

    /// A process found inside a container may have its container's init above it, which no event will tell of.
    fn ask_for_parent(&mut self, facts: &ProcessFacts, out: &mut Output) {
        let parent = facts.parent;
        if !facts.containerised || facts.ns_pid == 1 || parent.pid == 0 || parent.start == 0 {
            return;
        }
        if self.registry.processes.get(&parent).is_none() && !self.registry.processes.buried(&parent) {
            let process = self
                .registry
                .processes
                .enter(parent, &mut self.registry.evictions.processes);
            process.asked = true;
            out.requests.push(Request::Inspect(parent));
        }
    }

    pub(super) fn watch(&mut self, key: ProcessKey, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        let Some(container) = process.container.and_then(|id| self.registry.containers.get(id)) else {
            return;
        };
        if process.alive() && !process.watched && !container.left_out {
            process.watched = true;
            out.requests.push(Request::Watch {
                process: key,
                cgroup: container.cgroup.clone(),
            });
        }
    }

    /// Whether a slot's runs are over or ending, so that a new life may be the next of it.
    fn is_free(&self, state: &SlotState) -> bool {
        let ending = |id: &ContainerId| {
            let container = self.registry.containers.get(*id);
            container.is_none_or(|c| c.gone || c.main_dead || c.members.is_empty())
        };
        state.current.iter().chain(&state.waiting).all(ending)
    }

    /// Runs begun of what a container without a name goes on: its pod's only slot, where that ran this program and runs no more.
    /// Its own are numbered on from there, and not anew, while nobody says what it is called.
    fn runs_of_its_pod(&self, slot: &Slot, facts: &ProcessFacts) -> u64 {
        let Slot::Pod { uid, .. } = slot else { return 0 };
        let of_pod = |id: &SlotId| id.slot != *slot && matches!(&id.slot, Slot::Pod { uid: other, .. } if other == uid);
        let mut known = self.registry.slots.iter().filter(|(id, _)| of_pod(id));
        match (known.next(), known.next()) {
            (Some((_, state)), None) if state.program == identity::program(facts) && self.is_free(state) => state.runs,
            _ => 0,
        }
    }

    /// Which of the slots alike is free for a new life: the first that is idle or whose run is ending.
    pub(super) fn free_instance(&self, slot: &Slot) -> SlotId {
        let mut next = 0;
        for (id, state) in self.registry.slots.instances(slot) {
            if self.is_free(state) {
                return id.clone();
            }
            next = id.instance.saturating_add(1);
        }
        SlotId {
            slot: slot.clone(),
            instance: next,
        }
    }
}
