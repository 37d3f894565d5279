//! Succession: reads which pods of a workload have ended, produces for a pod that takes the place of one what was learnt of it.
//!
//! A pod that is replaced, each night or by a drain, is another slot with another name; its program is the same. Without what
//! ended runs taught, a level that comes back every day is news every day, and a leak that is restarted each night never
//! climbs twice.

use super::Engine;
use crate::{
    exit::Cause,
    identity::Slot,
    registry::{SlotId, SlotState},
};

impl Engine {
    /// A pod begins its first run, or its names have come: it goes on where the pod of its workload ended that nobody has
    /// succeeded yet, the last one of them.
    pub(super) fn succeed_ended(&mut self, id: &SlotId) {
        let Some(state) = self.registry.slots.get(id).filter(|state| is_new(id, state)) else {
            return;
        };
        if !self.is_named(state) {
            return;
        }
        let ended = self.registry.slots.iter().filter(|(other, before)| {
            before.is_idle()
                && !before.succeeded
                && has_ended(before)
                && *other != id
                && before.workload == state.workload
        });
        let before = ended.max_by_key(|(other, before)| (before.last_active, *other));
        if let Some(before) = before.map(|(before, _)| before.clone()) {
            self.hand_over(&before, id);
        }
    }

    /// A pod's run has ended: one that began beside it, as in a rolling update, goes on in its place.
    pub(super) fn succeed_beside(&mut self, id: &SlotId) {
        let Some(state) = self.registry.slots.get(id) else {
            return;
        };
        if !state.is_idle() || state.succeeded || !has_ended(state) {
            return;
        }
        let beside = self.registry.slots.iter().filter(|(other, after)| {
            is_new(other, after) && *other != id && after.workload == state.workload && self.is_named(after)
        });
        let after = beside.max_by_key(|(other, after)| (after.last_active, *other));
        if let Some(after) = after.map(|(after, _)| after.clone()) {
            self.hand_over(id, &after);
        }
    }

    /// Its container runs, and Kubernetes has told its names.
    fn is_named(&self, state: &SlotState) -> bool {
        let container = state.current.and_then(|id| self.registry.containers.get(id));
        container.is_some_and(|container| container.named.is_some())
    }

    fn hand_over(&mut self, from: &SlotId, to: &SlotId) {
        let Some(before) = self.registry.slots.get_mut(from) else {
            return;
        };
        before.succeeded = true;
        let detector = before.detector.clone();
        // What it had from others before it has gone on with it.
        before.detector.keep_own(before.ended.len());
        let release = self.registry.slots.get(to).and_then(|state| {
            let id = state.current?;
            self.registry
                .containers
                .get(id)
                .map(|container| container.run.release.name())
        });
        if let (Some(state), Some(version)) = (self.registry.slots.get_mut(to), release) {
            state.detector.succeed(&detector, version.as_ref());
        }
    }
}

/// A pod whose first run has not ended.
fn is_new(id: &SlotId, state: &SlotState) -> bool {
    matches!(id.slot, Slot::Pod { .. })
        && !state.left_out
        && state.ended.is_empty()
        && state.detector.records().is_empty()
}

/// Its last run ended with its pod; what dies otherwise is restarted in place.
fn has_ended(state: &SlotState) -> bool {
    let last = state.detector.records().last();
    last.is_some_and(|last| {
        matches!(
            last.cause,
            Cause::Terminated | Cause::Rollout | Cause::Evicted | Cause::Completed
        )
    })
}
