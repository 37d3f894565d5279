//! Attributes of kills that recur, and of what a reading of the heap said of growth.

use super::List;
use crate::{
    finding::{HeapEvidence, RecurringOom},
    semconv as name,
};

impl List {
    pub(super) fn recurring(&mut self, recurring: &RecurringOom) {
        let known = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        self.bytes(name::RECURRING_KILLS, Some(u64::from(recurring.kills)));
        self.float(name::RECURRING_WITHIN, recurring.within_s);
        self.float(name::RECURRING_LIFETIME, recurring.lifetime_s);
        self.bytes(name::RECURRING_FROM_LOW, known(recurring.from.0));
        self.bytes(name::RECURRING_FROM_HIGH, known(recurring.from.1));
        self.bytes(name::RECURRING_TO_LOW, known(recurring.to.0));
        self.bytes(name::RECURRING_TO_HIGH, known(recurring.to.1));
        self.ceiling(recurring.ceiling);
        self.text(name::RECURRING_PATTERN, recurring.pattern.name());
        self.text(name::RECURRING_EXPLANATION, recurring.explanation.name());
        self.heap_read(recurring.heap.as_ref());
        self.maybe_text(name::MISFIT_ADVICE, recurring.advice.as_deref());
    }

    pub(super) fn heap_read(&mut self, read: Option<&HeapEvidence>) {
        if let Some(read) = read {
            self.bytes(name::LEAK_HEAP_GROWN, Some(read.grown));
            self.bytes(name::LEAK_HEAP_GARBAGE, Some(read.garbage));
            self.bytes(name::LEAK_HEAP_HELD, Some(read.held));
        }
    }
}
