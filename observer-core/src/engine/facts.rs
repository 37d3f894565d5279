//! Facts: reads what an inspection told, produces containers, their slots and the wish to watch them.

use std::sync::Arc;

use super::Engine;
use crate::{
    Output, Request,
    identity::{self, Slot, Subject},
    process::{ProcessFacts, ProcessKey},
    registry::{Container, ContainerId, Home, Run, SlotId, SlotState, container::MAX_MEMBERS},
    time::BootTime,
};

impl Engine {
    pub(super) fn process(&mut self, at: BootTime, facts: &ProcessFacts, out: &mut Output) {
        let key = facts.key;
        if self
            .registry
            .processes
            .with_pid(key.pid)
            .any(|p| p.key.start > key.start)
        {
            // Late facts of a former owner of this pid.
            return;
        }
        self.replace_pid(at, key, out);
        self.leave_if_moved(key, facts, out);
        let process = self
            .registry
            .processes
            .enter(key, &mut self.registry.evictions.processes);
        process.asked = false;
        process.comm.clone_from(&facts.comm);
        process.parent = facts.parent;
        process.cgroup.clone_from(&facts.cgroup);
        process.other = !facts.is_watched() || identity::is_launcher(facts);
        let death = process.death;
        let container = process.container;
        if death.is_some_and(|death| death.decided) && container.is_none() {
            // Its life has been told already.
            self.registry.processes.remove(&key);
            return;
        }
        if process.other {
            self.other(key, out);
        } else {
            process.facts = Some(Arc::new(facts.clone()));
            match container {
                Some(id) => {
                    self.join(id, key);
                    self.refresh(id, key);
                }
                None => self.place(key, facts, out),
            }
            self.watch(key, out);
        }
        if let Some(death) = death
            && let Some(process) = self.registry.processes.get(&key)
        {
            match process.container {
                Some(id) => self.dies(id, key, death, out),
                None => drop(self.registry.processes.remove(&key)),
            }
        }
    }

    /// A process that is not watched: of interest only as a member of a container that is.
    fn other(&mut self, key: ProcessKey, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        let was_watched = process.facts.take().is_some();
        if process.watched {
            process.watched = false;
            process.traced = false;
            out.requests.push(Request::Unwatch(key));
        }
        if let Some(id) = process.container {
            // It replaced Node.js by something else: a bare run has ended with that.
            if was_watched
                && let Some(container) = self.registry.containers.get_mut(id)
                && container.main == key
            {
                container.main_dead = true;
                container.gone |= matches!(container.home, Home::Tree(_));
                if container.gone {
                    self.later(self.now, key);
                }
            }
            return;
        }
        let home = Home::Cgroup(process.cgroup.clone());
        if let Some(id) = self
            .registry
            .containers
            .at(&home)
            .filter(|c| !c.gone && !c.members.is_empty())
            .map(|c| c.id)
        {
            self.join(id, key);
        }
    }

    /// A child forked inside a container and moved to another cgroup is no longer one of its processes.
    fn leave_if_moved(&mut self, key: ProcessKey, facts: &ProcessFacts, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        let Some(container) = process.container.and_then(|id| self.registry.containers.get_mut(id)) else {
            return;
        };
        let moved = matches!(&container.home, Home::Cgroup(path) if *path != facts.cgroup);
        if moved && container.main != key && process.alive() {
            let id = container.id;
            container.members.remove(&key);
            process.container = None;
            if container.members.is_empty() && container.dying.is_empty() {
                self.end_container(id, out);
            }
        }
    }

    /// The same process, inspected again: it may have executed another program.
    fn refresh(&mut self, id: ContainerId, key: ProcessKey) {
        let Some(facts) = self.registry.processes.get(&key).and_then(|p| p.facts.clone()) else {
            return;
        };
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        if container.main != key {
            return;
        }
        let subject = Arc::make_mut(&mut container.run.subject);
        subject.version = identity::version(&facts);
        subject.resource = identity::resource(
            &facts,
            &subject.slot,
            &subject.workload,
            subject.version.as_ref(),
            &self.host,
        );
        container.run.version.clone_from(&subject.version);
    }

    /// Finds the container a watched process belongs to, or makes it.
    fn place(&mut self, key: ProcessKey, facts: &ProcessFacts, out: &mut Output) {
        let (home, slot) = identity::home_and_slot(facts);
        if let Home::Tree(_) = home {
            match self.bare_container(key, facts) {
                Some(id) => self.join(id, key),
                None => self.create(key, facts, home, slot, out),
            }
            return;
        }
        let Some(existing) = self.registry.containers.at(&home) else {
            return self.create(key, facts, home, slot, out);
        };
        let id = existing.id;
        let over = existing.gone || existing.members.iter().all(|m| *m == key);
        // Whoever comes from outside after the main process has ended was put there by the supervisor: a new life.
        let inside = existing.members.contains(&facts.parent)
            || existing.dying.contains(&facts.parent)
            || (facts.containerised && facts.ns_pid != 1);
        if !over && (!existing.main_dead || inside) {
            return self.join(id, key);
        }
        self.supersede(id, key, out);
        self.create(key, facts, home, slot, out);
    }

    /// Another life began in this one's place.
    fn supersede(&mut self, id: ContainerId, by: ProcessKey, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        container.gone = true;
        container.members.remove(&by);
        if container.dying.is_empty() {
            self.end_container(id, out);
        }
    }

    pub(super) fn join(&mut self, id: ContainerId, key: ProcessKey) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        if container.members.len() >= MAX_MEMBERS && !container.members.contains(&key) {
            self.registry.evictions.members += 1;
            return;
        }
        process.container = Some(id);
        if process.alive() {
            container.members.insert(key);
        }
        let is_node = process.facts.is_some();
        let main = container.main;
        let above = is_node && self.is_ancestor(key, main);
        if let Some(container) = self.registry.containers.get_mut(id)
            && is_node
            && (container.main_dead || above)
        {
            container.main = key;
            container.main_dead = false;
        }
    }

    fn is_ancestor(&self, above: ProcessKey, below: ProcessKey) -> bool {
        self.ancestors(below).any(|key| key == above)
    }

    /// Known ancestors, nearest first; at most 16, since a loop of parents is no more than bad input.
    pub(super) fn ancestors(&self, of: ProcessKey) -> impl Iterator<Item = ProcessKey> {
        let parent = |key: ProcessKey| {
            let parent = self.registry.processes.get(&key)?.parent;
            self.registry.processes.resolve(parent).filter(|p| *p != key)
        };
        std::iter::successors(parent(of), move |key| parent(*key)).take(16)
    }

    fn create(&mut self, key: ProcessKey, facts: &ProcessFacts, home: Home, slot: Slot, out: &mut Output) {
        if self.registry.containers.is_full() {
            self.registry.evictions.containers += 1;
            return;
        }
        let workload = identity::workload(&slot, facts);
        let Some(slot_id) = self.slot_for(slot, facts) else {
            return;
        };
        let id = self.registry.containers.next_id();
        let members = self.members_of(&home, key, id);
        let started = members
            .iter()
            .map(ProcessKey::started)
            .min()
            .unwrap_or_else(|| key.started());
        let config = self.detection();
        let slots = &mut self.registry.slots;
        if slots.get(&slot_id).is_none() {
            let state = SlotState::new(workload.clone(), self.now, config);
            if !slots.insert(slot_id.clone(), state, &mut self.registry.evictions.slots) {
                self.registry.evictions.containers += 1;
                return;
            }
        }
        let Some(state) = slots.get_mut(&slot_id) else { return };
        state.runs += 1;
        state.last_active = self.now;
        let version = identity::version(facts);
        let resource = identity::resource(facts, &slot_id.slot, &workload, version.as_ref(), &self.host);
        let subject = Subject {
            workload,
            slot: slot_id.slot.clone(),
            instance: slot_id.instance,
            run: state.runs,
            version: version.clone(),
            resource,
        };
        let mut run = Run::new(started, started < self.begun, version, Arc::new(subject));
        run.number = state.runs;
        state.waiting.push_back(id);
        self.registry.containers.insert(Container {
            id,
            home,
            cgroup: facts.cgroup.clone(),
            slot: slot_id.clone(),
            members,
            dying: std::collections::BTreeSet::new(),
            main: key,
            main_dead: false,
            main_end: None,
            gone: false,
            last_exit: started,
            oom_kills: std::collections::BTreeMap::new(),
            run,
        });
        if let Some(process) = self.registry.processes.get_mut(&key) {
            process.container = Some(id);
        }
        if !facts.cgroup.is_empty() {
            out.requests.push(Request::OomKills {
                cgroup: facts.cgroup.clone(),
            });
        }
        self.ask_for_parent(facts, out);
        self.begin_waiting(&slot_id, out);
    }

    /// Everybody known in a home, alive.
    fn members_of(&mut self, home: &Home, key: ProcessKey, id: ContainerId) -> std::collections::BTreeSet<ProcessKey> {
        let mut members: std::collections::BTreeSet<ProcessKey> = match home {
            Home::Tree(_) => std::iter::empty().collect(),
            Home::Cgroup(path) => {
                let free = self
                    .registry
                    .processes
                    .iter()
                    .filter(|p| p.container.is_none() && p.alive());
                free.filter(|p| p.cgroup == *path)
                    .map(|p| p.key)
                    .take(MAX_MEMBERS)
                    .collect()
            }
        };
        for member in &members {
            if let Some(process) = self.registry.processes.get_mut(member) {
                process.container = Some(id);
            }
        }
        if self
            .registry
            .processes
            .get(&key)
            .is_some_and(crate::registry::Process::alive)
        {
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

    fn watch(&mut self, key: ProcessKey, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        if process.container.is_some() && process.alive() && !process.watched {
            process.watched = true;
            out.requests.push(Request::Watch {
                process: key,
                cgroup: process.cgroup.clone(),
            });
        }
    }

    /// Which of the slots alike is free for a new life: the first that is idle or whose run is ending.
    pub(super) fn free_instance(&self, slot: &Slot) -> SlotId {
        let mut next = 0;
        for (id, state) in self.registry.slots.instances(slot) {
            let ending = |id: &ContainerId| {
                self.registry
                    .containers
                    .get(*id)
                    .is_none_or(|c| c.gone || c.main_dead || c.members.is_empty())
            };
            if state.current.iter().chain(&state.waiting).all(ending) {
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
