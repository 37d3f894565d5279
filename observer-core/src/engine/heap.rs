//! Heaps of runs that grow: asks for readings where the operator opted in, and states what they told.

use super::Engine;
use crate::{
    Output, Request,
    detect::State,
    finding::{Confidence, Event, HeapRead},
    heap::{ANNOTATION, HeapAnswer, Outcome, ReadHeap},
    process::Runtime,
    registry::{
        ContainerId,
        heap_watch::{Level, Moment, News},
    },
    time::{BootTime, SECOND},
};

impl Engine {
    /// Asks for a reading where one is due.
    pub(super) fn watch_heap(&mut self, at: BootTime, id: ContainerId, level: Level, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let main = self.registry.processes.get(&container.main);
        let facts = main.and_then(|process| process.facts.as_ref());
        let is_node = facts.is_some_and(|facts| matches!(facts.runtime, Runtime::Node { .. }));
        if container.main_dead || !is_node {
            return;
        }
        let subject = &container.run.subject;
        let pod = container.named.as_ref().and_then(|named| named.pod.as_ref());
        let annotated = pod.is_some_and(|pod| pod.annotations.get(ANNOTATION).is_some_and(|value| value == "true"));
        if !annotated && !self.settings.heap.names(&subject.workload, subject.service()) {
            return;
        }
        let (process, version) = (container.main, subject.version.clone());
        let interval = (self.settings.heap.interval_s * SECOND as f64) as u64;
        let Some(state) = self.registry.slots.get_mut(&container.slot) else {
            return;
        };
        let grows = state.detector.awaits_reading()
            || matches!(
                state.detector.state(),
                State::Suspected | State::Likely | State::Confirmed
            );
        if state.current != Some(id) {
            return;
        }
        // No heap explains files in memory.
        let in_memory = state
            .detector
            .attribution()
            .is_some_and(|grown| grown.shares.shmem >= 0.5);
        let wanted = (grows && !in_memory).then(|| state.detector.state());
        let left = state.detector.time_to_ceiling_s();
        let moment = Moment {
            at,
            process,
            wanted,
            level,
            age_ns: at.since(container.run.started),
            left_ns: left.map(|seconds| (seconds * SECOND as f64) as u64),
        };
        if let Some(due) = state.heap.due(&moment, interval) {
            out.requests.push(Request::ReadHeap(ReadHeap {
                process,
                workload: format!("{:?}", state.workload),
                version,
                compare: due.compare,
                grown: due.grown,
            }));
        }
    }

    /// States what a reading told.
    pub(super) fn heap(&mut self, at: BootTime, answer: &HeapAnswer, out: &mut Output) {
        let Some(id) = self.registry.processes.get(&answer.process).and_then(|p| p.container) else {
            return;
        };
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let version = container.run.subject.version.clone();
        let Some(state) = self.registry.slots.get_mut(&container.slot) else {
            return;
        };
        let leak = state.detector.state();
        let Some(news) = state.heap.answered(at, answer, version.as_ref(), leak) else {
            return;
        };
        let current = state.current == Some(id);
        let contents = answer.contents.filter(|_| current);
        let verdict = contents.and_then(|contents| state.detector.read_heap(at, answer.took_ns, &contents));
        let (not_read, diagnosis) = match &answer.outcome {
            Outcome::First { newcomers, .. } => (None, newcomers.clone()),
            Outcome::Compared(diagnosis) => (None, Some(diagnosis.clone())),
            Outcome::Postponed(reason) | Outcome::Refused(reason) => (Some(reason.clone()), None),
        };
        let read = Event::HeapRead(HeapRead {
            pid: answer.process.pid,
            took_ns: answer.took_ns,
            bytes: answer.bytes,
            not_read,
        });
        let nothing = "nothing: the agent did it itself";
        self.find(id, at, read, Confidence::Observed, nothing, out);
        if let Some(diagnosis) = diagnosis.filter(|_| news == News::New) {
            let contradicted_by =
                "objects of that name that nothing holds; what was dead was left out, or is called an upper bound";
            self.find(
                id,
                at,
                Event::Diagnosis(diagnosis),
                Confidence::Observed,
                contradicted_by,
                out,
            );
        }
        self.verdict(id, verdict, out);
    }
}
