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
}
