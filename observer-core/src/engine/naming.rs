//! Names: reads what Kubernetes or an engine says of a container, at any time, produces the right slot, workload,
//! release and Resource for its run.

use std::{collections::VecDeque, sync::Arc};

use super::Engine;
use crate::{
    Output,
    container_facts::ContainerFacts,
    identity::{self, About, Release, Slot},
    process::ProcessKey,
    registry::{ContainerId, Home, SlotId},
};

impl Engine {
    pub(super) fn container_facts(&mut self, facts: &ContainerFacts, out: &mut Output) {
        if facts.id.is_empty() {
            // A pod's container that does not run yet: its id will say which it is.
            return;
        }
        let named = self.registry.catalogue.learn(facts, &mut self.registry.evictions.names);
        let home = Home::Container(facts.id.clone());
        let Some(container) = self.registry.containers.at(&home) else {
            return self.ended_facts(&named);
        };
        let (id, main) = (container.id, container.main);
        // Too late for the restart's own record, in time for the history.
        if let Some(state) = self.registry.slots.get_mut(&container.slot)
            && state.current == Some(id)
        {
            state.told_by_owner(super::ends::reported(&named));
        }
        if let Some(container) = self.registry.containers.get_mut(id) {
            // A deletion says nothing new of who it was.
            if facts.deleted && container.named.is_some() {
                return;
            }
            container.named = Some(named);
        }
        self.refresh(id, main, out);
    }

    /// The main process or the container is known better than before: its run is told under what is known now.
    pub(super) fn refresh(&mut self, id: ContainerId, key: ProcessKey, out: &mut Output) {
        let Some(facts) = self.registry.processes.get(&key).and_then(|p| p.facts.clone()) else {
            return;
        };
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        if container.main != key {
            return;
        }
        // Before anything is said under what is known now.
        self.select(id, out);
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let (named, slot_id) = (container.named.clone(), container.slot.clone());
        let slot = match &named {
            Some(named) => identity::slot(&facts, Some(named)),
            // A bare process that was put into a container of nobody's.
            None if matches!((&slot_id.slot, &container.home), (Slot::Bare { .. }, Home::Cgroup(_))) => {
                identity::slot(&facts, None)
            }
            None => slot_id.slot.clone(),
        };
        let workload = identity::workload(&slot, &facts, named.as_deref());
        let release = Release::of(&facts, named.as_deref());
        let about = About {
            facts: &facts,
            named: named.as_deref(),
            slot: &slot,
            workload: &workload,
            version: release.version.as_ref(),
            host: &self.host.name,
            labels: self.settings.service_labels,
        };
        let (resource, refused) = identity::resource(&about);
        let same = container.run.release == release && container.run.subject.workload == workload;
        let slot_id = if slot == slot_id.slot {
            slot_id
        } else {
            SlotId { slot, instance: 0 }
        };
        if !same {
            self.leave_release(id, None);
        }
        if let Some(container) = self.registry.containers.get_mut(id) {
            let run = &mut container.run;
            let subject = Arc::make_mut(&mut run.subject);
            subject.slot = slot_id.slot.clone();
            subject.instance = slot_id.instance;
            subject.run = run.number;
            subject.workload = workload.clone();
            subject.version = release.name();
            subject.resource = resource;
            subject.refused = refused;
            run.release = release.clone();
            // Only now: its true slot tells of a restart in this run's name.
            if container.slot != slot_id {
                self.move_to(id, &slot_id, out);
            }
        }
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        let slot_id = container.slot.clone();
        Arc::make_mut(&mut container.run.subject).slot = slot_id.slot.clone();
        // A pod's names come after its first run has begun: only now is it known whose successor it is.
        let leaking = if same {
            None
        } else {
            self.leaking_detector(&workload, &release).cloned()
        };
        if let Some(state) = self.registry.slots.get_mut(&slot_id) {
            state.workload = workload;
            state.detector.set_job(identity::is_job(named.as_deref()));
            if state.current == Some(id) {
                state.detector.name_version(release.name().as_ref());
                if let Some(leaking) = leaking {
                    state.detector.adopt(&leaking);
                }
            }
        }
        self.succeed_ended(&slot_id);
        self.select(id, out);
        self.name_releases_before(id);
        self.enter_release(id, out);
        self.name_service(id);
    }

    /// A container's true slot has become known.
    fn move_to(&mut self, id: ContainerId, to: &SlotId, out: &mut Output) {
        let Some(from) = self.registry.containers.get(id).map(|c| c.slot.clone()) else {
            return;
        };
        let known = self.registry.slots.get(to);
        let whole = known.is_none_or(|state| state.is_idle() && state.ended.is_empty());
        if whole {
            // The slot had another name until now.
            let Some(state) = self.registry.slots.remove(&from) else {
                return;
            };
            let lives: Vec<ContainerId> = state.current.iter().chain(&state.waiting).copied().collect();
            self.registry
                .slots
                .insert(to.clone(), state, &mut self.registry.evictions.slots);
            for life in lives {
                if let Some(container) = self.registry.containers.get_mut(life) {
                    container.slot = to.clone();
                }
            }
            return;
        }
        // It has a history under its true name: this life is the next of it, and those that ended without a name came before.
        let mut nameless = VecDeque::new();
        if let Some(state) = self.registry.slots.get_mut(&from) {
            if state.current == Some(id) {
                state.current = None;
            }
            state.waiting.retain(|waiting| *waiting != id);
            if state.is_idle() {
                nameless = std::mem::take(&mut state.ended);
                self.registry.slots.remove(&from);
            } else {
                self.begin_waiting(&from, out);
            }
        }
        if let Some(state) = self.registry.slots.get_mut(to) {
            if state.is_idle() {
                nameless.into_iter().for_each(|run| state.keep(run));
            }
            state.waiting.push_back(id);
            if let Some(container) = self.registry.containers.get_mut(id) {
                container.slot = to.clone();
                // Lives before it may have ended without a name, and were numbered too.
                state.runs = (state.runs + 1).max(container.run.number);
                container.run.number = state.runs;
                Arc::make_mut(&mut container.run.subject).run = state.runs;
            }
        }
        self.begin_waiting(to, out);
        self.supersede_unseen(to);
    }
}
