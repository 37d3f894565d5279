//! What must hold between the registry's parts after every step.

use super::Engine;
use crate::registry::Process;

impl Engine {
    /// The first thing found wrong.
    pub(super) fn inconsistency(&self) -> Option<String> {
        let registry = &self.registry;
        for container in registry.containers.iter() {
            let id = container.id;
            let Some(state) = registry.slots.get(&container.slot) else {
                return Some(format!("{id:?} has no slot"));
            };
            if state.current != Some(id) && !state.waiting.contains(&id) {
                return Some(format!("{id:?} is neither current nor waiting in its slot"));
            }
            for key in &container.members {
                let process = registry.processes.get(key);
                if !process.is_some_and(|p| p.alive() && p.container == Some(id)) {
                    return Some(format!("{key:?} is a member of {id:?}: {process:?}"));
                }
            }
            for key in &container.dying {
                if registry.processes.get(key).is_none_or(Process::alive) {
                    return Some(format!("{key:?} is dying in {id:?}"));
                }
                if !self.deaths.contains(*key) {
                    return Some(format!("{key:?} will never be decided"));
                }
            }
            if container.members.is_empty() && container.dying.is_empty() {
                return Some(format!("{id:?} is empty and not over"));
            }
        }
        for (id, state) in registry.slots.iter() {
            for container in state.current.iter().chain(&state.waiting) {
                if registry.containers.get(*container).is_none() {
                    return Some(format!("{id:?} has a run whose container is gone"));
                }
            }
        }
        registry
            .processes
            .iter()
            .filter(|p| p.watched)
            .find(|p| !p.alive() || p.container.is_none())
            .map(|p| format!("{:?} is watched for nothing", p.key))
    }
}
