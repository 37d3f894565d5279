//! Bare processes: reads descent, produces which process is a worker of which, and which slot a new one continues.

use super::Engine;
use crate::{
    identity::Slot,
    process::{ProcessFacts, ProcessKey},
    registry::{ContainerId, Home, SlotId},
};

impl Engine {
    /// The bare container this process is a worker of: its nearest ancestor that runs the same script with the same
    /// executable (a cluster's primary). A Node.js supervisor's children run scripts of their own and are not.
    pub(super) fn bare_container(&self, key: ProcessKey, facts: &ProcessFacts) -> Option<ContainerId> {
        self.ancestors(key).find_map(|above| {
            let process = self.registry.processes.get(&above)?;
            let id = process.container?;
            let theirs = process.facts.as_ref()?;
            let alike = theirs.exe == facts.exe && theirs.script == facts.script && facts.script.is_some();
            let container = self.registry.containers.get(id)?;
            (alike && matches!(container.home, Home::Tree(_)) && !container.gone && !container.main_dead).then_some(id)
        })
    }

    /// The slot a new container begins a run of.
    pub(super) fn slot_for(&mut self, slot: Slot, facts: &ProcessFacts, named: bool) -> Option<SlotId> {
        if named {
            // A container with a name of its own lives once.
            return Some(SlotId { slot, instance: 0 });
        }
        if matches!(slot, Slot::Bare { .. })
            && self.registry.slots.instances(&slot).next().is_none()
            && let Some(orphan) = self.orphan(facts)
        {
            // Its supervisor was restarted: the slot goes on under the new one.
            let state = self.registry.slots.remove(&orphan)?;
            let adopted = SlotId { slot, instance: 0 };
            self.registry
                .slots
                .insert(adopted.clone(), state, &mut self.registry.evictions.slots);
            return Some(adopted);
        }
        Some(self.free_instance(&slot))
    }

    /// An idle slot of the same program whose supervisor is not known to be alive: the one active last.
    fn orphan(&self, facts: &ProcessFacts) -> Option<SlotId> {
        let alike = |slot: &Slot| match slot {
            Slot::Bare {
                exe,
                script,
                cwd,
                parent,
            } => {
                *exe == facts.exe
                    && *script == facts.script
                    && *cwd == facts.cwd
                    && *parent != facts.parent
                    && !self
                        .registry
                        .processes
                        .get(parent)
                        .is_some_and(crate::registry::Process::alive)
            }
            _ => false,
        };
        self.registry
            .slots
            .iter()
            .filter(|(id, state)| state.is_idle() && alike(&id.slot))
            .max_by_key(|(_, state)| state.last_active)
            .map(|(id, _)| id.clone())
    }
}
