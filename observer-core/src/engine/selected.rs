//! Pods left out: reads the operator's rules and what is known of a container's pod, produces requests to watch its
//! processes or to stop, and silence about what is left out.

use super::Engine;
use crate::{
    Output, Request,
    identity::Slot,
    process::ProcessKey,
    registry::{Container, ContainerId},
};

impl Engine {
    /// Whether a container's pod is left out by the rules.
    pub(super) fn is_left_out(&self, container: &Container) -> bool {
        let pod = container.named.as_ref().and_then(|named| named.pod.as_ref());
        let in_pod = pod.is_some() || matches!(container.slot.slot, Slot::Pod { .. });
        in_pod && !self.settings.pods.observes(pod)
    }

    /// A container is new, or known better than before: its processes are watched from now on, or no longer.
    pub(super) fn select(&mut self, id: ContainerId, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let left_out = self.is_left_out(container);
        let changed = container.left_out != left_out;
        let slot = container.slot.clone();
        let members: Vec<ProcessKey> = container.members.iter().copied().collect();
        if let Some(state) = self.registry.slots.get_mut(&slot) {
            state.left_out = left_out;
        }
        if !changed {
            return;
        }
        if left_out {
            self.leave_release(id, None);
            self.registry.closing.remove(&slot);
        }
        if let Some(container) = self.registry.containers.get_mut(id) {
            container.left_out = left_out;
        }
        for key in members {
            if left_out {
                self.unwatch(key, out);
            } else if self.registry.processes.get(&key).is_some_and(|p| p.facts.is_some()) {
                self.watch(key, out);
            }
        }
    }

    /// The rules may have changed since the state was put away.
    pub(super) fn select_all(&mut self, out: &mut Output) {
        let all: Vec<ContainerId> = self.registry.containers.iter().map(|c| c.id).collect();
        for id in all {
            self.select(id, out);
        }
    }

    fn unwatch(&mut self, key: ProcessKey, out: &mut Output) {
        if let Some(process) = self.registry.processes.get_mut(&key)
            && process.watched
        {
            process.watched = false;
            process.traced = false;
            out.requests.push(Request::Unwatch(key));
        }
    }
}
