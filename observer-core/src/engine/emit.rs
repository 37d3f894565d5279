//! Findings: reads what is to be said, produces the finding with its stable id, its times and its subject.

use std::{fmt::Write, sync::Arc};

use super::Engine;
use crate::{
    Output,
    finding::{Confidence, Event, Finding},
    identity::Subject,
    process::ProcessKey,
    registry::{ContainerId, SlotId},
    time::BootTime,
};

/// Ids kept of what an earlier agent said, at most.
const MAX_TOLD: usize = 1_024;

/// What tells a finding from others of its kind about the same run. What two agents may learn in different ways, one that saw
/// it and one that found it done, has no time in it.
pub(super) enum Occurrence {
    /// A run has one.
    Once,
    /// One for each process.
    Of(ProcessKey),
    /// When it happened, and how many findings there were before it.
    At,
}

impl Engine {
    /// States something of a container's run.
    pub(super) fn find(
        &mut self,
        id: ContainerId,
        at: BootTime,
        event: Event,
        confidence: Confidence,
        contradicted_by: &str,
        out: &mut Output,
    ) {
        let occurrence = match &event {
            // Each life follows another once.
            Event::Restart(_) => Occurrence::Once,
            _ => Occurrence::At,
        };
        self.find_of(id, at, occurrence, (event, confidence, contradicted_by), out);
    }

    /// States something of a container's run that differs from others of its kind by its occurrence.
    pub(super) fn find_of(
        &mut self,
        id: ContainerId,
        at: BootTime,
        occurrence: Occurrence,
        (event, confidence, contradicted_by): (Event, Confidence, &str),
        out: &mut Output,
    ) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        if container.left_out {
            return;
        }
        let Some(state) = self.registry.slots.get_mut(&container.slot) else {
            return;
        };
        state.findings += 1;
        let subject = container.run.subject.clone();
        let occurrence = match occurrence {
            Occurrence::Once => String::new(),
            Occurrence::Of(process) => format!("{}|{}", process.pid, process.start),
            // The time beside the count: an agent that was killed before its state was put away counts on from less.
            Occurrence::At => format!("{}|{}", at.0, state.findings),
        };
        // The run's start and not its number: a number begins anew with an agent that has lost its history.
        let key = format!(
            "{}|{:?}|{}|{}|{}|{occurrence}",
            self.host.boot_id,
            container.slot.slot,
            container.slot.instance,
            container.run.started.0,
            event.kind(),
        );
        self.push(&key, at, Some(subject), (event, confidence, contradicted_by), out);
    }

    /// An earlier agent went on after this state was put away, and said these, by their ids: they are not said again.
    pub fn told(&mut self, ids: impl IntoIterator<Item = String>) {
        let room = MAX_TOLD.saturating_sub(self.told.len());
        self.told.extend(ids.into_iter().take(room));
    }

    /// The id of a run: the same from every agent that sees it on this boot.
    pub(super) fn run_id(&self, slot: &SlotId, started: BootTime) -> String {
        id(&format!(
            "{}|{:?}|{}|{}|run",
            self.host.boot_id, slot.slot, slot.instance, started.0
        ))
    }

    /// States something of the agent itself.
    pub(super) fn find_own(
        &mut self,
        at: BootTime,
        event: Event,
        confidence: Confidence,
        contradicted_by: &str,
        out: &mut Output,
    ) {
        let key = format!("{}|{}|{}|{}", self.host.boot_id, event.kind(), at.0, self.findings);
        self.push(&key, at, None, (event, confidence, contradicted_by), out);
    }

    fn push(
        &mut self,
        key: &str,
        at: BootTime,
        subject: Option<Arc<Subject>>,
        (event, confidence, contradicted_by): (Event, Confidence, &str),
        out: &mut Output,
    ) {
        let id = id(key);
        if self.told.remove(&id) {
            return;
        }
        self.findings += 1;
        out.findings.push(Finding {
            id,
            at,
            wall: self.time.wall(at),
            subject,
            event,
            confidence,
            contradicted_by: contradicted_by.to_owned(),
        });
    }
}

/// 128-bit FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv) in hexadecimal: needs no more than to differ.
fn id(key: &str) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in key.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let mut out = String::with_capacity(32);
    let _ = write!(out, "{hash:032x}");
    out
}

#[cfg(test)]
mod tests {
    /// Test vectors of the FNV authors for FNV-1a, 128 bits.
    #[test]
    fn ids_are_fnv_1a() {
        assert_eq!(super::id(""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(super::id("a"), "d228cb696f1a8caf78912b704e4a8964");
    }
}
