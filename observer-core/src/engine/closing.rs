//! Runs that have ended: reads their summaries, produces each once, when nothing more can be learnt of it.
//!
//! What comes after a run tells how it ended: a stop with a successor of another version was a rollout. So a run is
//! held back until its slot's next run begins, and for [`HOLD`] at most: the last run of a slot is told too.

use std::sync::Arc;

use super::{Engine, ends::reported};
use crate::{
    Output,
    container_facts::ContainerFacts,
    exit,
    finding::{EndedRun, RunSummary},
    identity::Slot,
    registry::{Closing, ContainerId, SlotId, slot::MAX_SLOTS},
    time::SECOND,
};

/// Nanoseconds a run's end waits for the run that follows: a service manager restarts within seconds.
pub(crate) const HOLD: u64 = 60 * SECOND;

impl Engine {
    /// A container's run has ended: held back.
    pub(super) fn hold_back(&mut self, id: ContainerId, slot_id: &SlotId, run: RunSummary, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        if container.left_out {
            return;
        }
        let pod = container.named.as_ref().and_then(|named| named.pod.as_ref());
        let traceparent = pod.and_then(|pod| pod.annotations.get("traceparent")).cloned();
        let template = pod.and_then(|pod| {
            let owner = pod.owners.first().and_then(|owner| owner.uid.as_deref());
            let template = pod.template_hash.as_deref();
            (owner.is_some() || template.is_some())
                .then(|| format!("{}/{}", owner.unwrap_or_default(), template.unwrap_or_default()))
        });
        let ended = EndedRun {
            id: self.run_id(slot_id, container.run.started),
            subject: Arc::clone(&container.run.subject),
            started: self.time.wall(run.started),
            ended: self.time.wall(run.ended),
            run,
            rollout: false,
            revision: template.or_else(|| container.run.release.image.clone()),
            traceparent,
        };
        self.release_closing(slot_id, out);
        if self.registry.closing.len() >= MAX_SLOTS {
            self.release_all_closing(out);
        }
        let until = self.time.now.plus(HOLD);
        self.registry.closing.insert(slot_id.clone(), Closing { ended, until });
    }

    /// The slot's next run has begun: what that told of the one before is in its summary now.
    pub(super) fn succeeded(&mut self, slot_id: &SlotId, rollout: bool, out: &mut Output) {
        let last = self.registry.slots.get(slot_id).and_then(|state| state.ended.back());
        if let (Some(closing), Some(last)) = (self.registry.closing.get_mut(slot_id), last)
            && closing.ended.run.run == last.run
        {
            closing.ended.run = last.clone();
            closing.ended.ended = self.time.wall(last.ended);
            closing.ended.rollout = rollout;
        }
        self.release_closing(slot_id, out);
    }

    /// Facts of a container whose run has ended and whose slot has no other: what they say of its end is in time for its record.
    pub(super) fn ended_facts(&mut self, named: &ContainerFacts) {
        let Some(pod) = &named.pod else { return };
        let slot = Slot::Pod {
            uid: pod.uid.clone(),
            container: named.name.clone(),
        };
        let slot_id = SlotId { slot, instance: 0 };
        let state = self.registry.slots.get_mut(&slot_id);
        let Some(state) = state.filter(|s| s.is_idle() && s.last_container.as_ref() == Some(&named.id)) else {
            return;
        };
        state.told_by_owner(reported(named));
        let Some(last) = state.ended.back_mut() else { return };
        let decided = last.cause();
        if let Some(disruption) = &pod.disruption {
            exit::disrupted(&mut last.end, disruption);
        }
        if let Some(closing) = self.registry.closing.get_mut(&slot_id)
            && closing.ended.run.run == last.run
        {
            closing.ended.run = last.clone();
        }
        if let Some(release) = &state.release {
            let to = last.cause();
            self.registry.workloads.recount(&state.workload, release, decided, to);
        }
    }

    /// Those that have waited long enough.
    pub(super) fn release_due(&mut self, out: &mut Output) {
        let due = |closing: &Closing| closing.until <= self.time.now;
        let over: Vec<SlotId> = self
            .registry
            .closing
            .iter()
            .filter(|(_, closing)| due(closing))
            .map(|(slot, _)| slot.clone())
            .collect();
        for slot in over {
            self.release_closing(&slot, out);
        }
    }

    /// All of them: the agent stops, and may not come back.
    pub(super) fn release_all_closing(&mut self, out: &mut Output) {
        for closing in std::mem::take(&mut self.registry.closing).into_values() {
            self.tell_ended(closing, out);
        }
    }

    fn release_closing(&mut self, slot_id: &SlotId, out: &mut Output) {
        if let Some(closing) = self.registry.closing.remove(slot_id) {
            self.tell_ended(closing, out);
        }
    }

    fn tell_ended(&mut self, closing: Closing, out: &mut Output) {
        if !self.told.remove(&closing.ended.id) {
            out.ended.push(closing.ended);
        }
    }
}
