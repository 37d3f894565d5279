//! Attributes of a diagnosis: what grew in a heap, and where.

use super::{List, Value};
use crate::{
    heap::{Compared, Diagnosis},
    memory_use::MemoryGrowth,
    semconv as name,
    telemetry::words,
};

impl List {
    pub(super) fn diagnosis(&mut self, diagnosis: &Diagnosis) {
        if let Some(culprit) = diagnosis.culprit() {
            self.text(name::HEAP_CULPRIT, &culprit.what);
            self.text(name::HEAP_CULPRIT_ID, &culprit.id());
            self.maybe_text(name::HEAP_CULPRIT_PLACE, culprit.place.as_deref());
            self.bytes(name::HEAP_CULPRIT_BEFORE, Some(culprit.count.0));
            self.bytes(name::HEAP_CULPRIT_COUNT, Some(culprit.count.1));
            self.bytes(name::HEAP_CULPRIT_BYTES, Some(culprit.bytes));
            self.bytes(name::HEAP_CULPRIT_RETAINED, culprit.retained);
            if let Some(share) = culprit.share {
                self.float(name::HEAP_CULPRIT_SHARE, share);
            }
            if !culprit.held_by.is_empty() {
                self.text(name::HEAP_CULPRIT_HELD_BY, &culprit.held_by.join(" -> "));
            }
        }
        let growers = diagnosis
            .growers
            .iter()
            .map(|grower| Value::Text(words::grower(grower)));
        self.list(name::HEAP_GROWERS, growers.collect());
        self.bytes(name::HEAP_GROWN, Some(diagnosis.grown));
        self.float(name::HEAP_EXPLAINED, diagnosis.explained);
        self.bool(name::HEAP_EXACT, diagnosis.exact);
        self.bytes(
            name::HEAP_READINGS,
            Some(u64::from(diagnosis.readings)).filter(|readings| *readings > 0),
        );
        if let Some(container) = diagnosis.container {
            self.bytes(name::HEAP_CONTAINER_GROWN, Some(container.level));
            self.bytes(
                name::HEAP_GARBAGE_GROWN,
                Some(u64::try_from(container.garbage).unwrap_or(0)),
            );
            self.bool(name::HEAP_EXPLAINS, container.explains());
        }
        if let Some(memory) = &diagnosis.memory {
            self.memory(memory);
        }
        match &diagnosis.compared {
            Compared::Times(seconds) => self.float(name::HEAP_APART, *seconds),
            Compared::Versions(from, to) => {
                self.maybe_text(name::HEAP_VERSION_FROM, from.as_ref().map(|v| v.0.as_str()));
                self.maybe_text(name::HEAP_VERSION_TO, to.as_ref().map(|v| v.0.as_str()));
            }
        }
    }

    /// Where the container's memory is, and what of it grew.
    fn memory(&mut self, memory: &MemoryGrowth) {
        if let Some((kind, bytes, share)) = memory.most() {
            self.text(name::GROWTH_KIND, kind.name());
            self.bytes(name::GROWTH_KIND_BYTES, Some(bytes));
            self.float(name::GROWTH_KIND_SHARE, share);
            self.text(name::GROWTH_MEANING, kind.means());
        }
        let kinds = memory.after.kinds.iter();
        let kinds = kinds.map(|now| {
            Value::Text(format!(
                "{}: {} -> {}",
                now.kind.name(),
                memory.before.of(now.kind),
                now.bytes
            ))
        });
        self.list(name::GROWTH_KINDS, kinds.collect());
        self.bytes(name::GROWTH_TRIMMABLE, Some(memory.after.trimmable));
    }
}
