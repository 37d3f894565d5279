//! What `observer heap --diff` found, for the table and for JSON.

use std::time::Duration;

use observer_heap::{Growth, Holders, Suspect};

/// What several readings of one process differ in.
pub(super) struct Difference<'d> {
    /// Time between the first and the last.
    pub(super) apart: Duration,
    /// What there is more of.
    pub(super) growth: &'d Growth,
    /// Where the growth accumulates; empty where the heap is too large to mark.
    pub(super) suspects: &'d [Suspect],
    /// In that case: how what grew most is held.
    pub(super) held: &'d [Holders],
    /// What is held was told from what is dead, and places were looked for.
    pub(super) marked: bool,
    /// The process's own growth.
    pub(super) process: Process,
}

/// By how much a process grew between the first and the last reading, bytes.
#[derive(Clone, Copy)]
pub(super) struct Process {
    /// Its anonymous memory, negative when it shrank.
    pub(super) anonymous: i64,
    /// Of it, garbage and free memory in V8's pages, the young generation's among them, and dead ArrayBuffers.
    pub(super) unheld: i64,
}

/// Below this growth of a process nothing is said of what the heap does not explain, bytes.
const WORTH_SAYING: i64 = 4 << 20;
/// The heap explains the growth from this share of it on that is held: the same as in the agent, which compares with the container.
const EXPLAINS: i64 = 4;

impl Difference<'_> {
    /// Bytes by which the process grew outside of V8's heap, where that is most of its growth.
    pub(super) fn outside(&self) -> Option<i64> {
        let beside = self.process.anonymous - self.process.unheld.max(0);
        let held = self.growth.net.max(0);
        (self.process.anonymous >= WORTH_SAYING && beside >= WORTH_SAYING && held < beside / EXPLAINS)
            .then_some(beside - held)
    }
}
