//! Remembers by what young objects are reached until they are looked at: slots of old objects, and objects themselves, for each
//! label (`graph/labels.rs`) apart.

/// Labels told apart, beside 0, which is none.
pub(crate) const MOST_LABELS: usize = 15;
/// Old slots remembered, 16 bytes each; so many point at young objects only right after an allocation storm.
const MOST_SLOTS: usize = 1 << 20;

/// By what young objects are reached.
#[derive(Default)]
pub(super) struct Noted {
    /// Addresses of old slots that pointed at young pages, and what stood there when they were followed last; by label.
    slots: [Vec<(u64, u64)>; MOST_LABELS + 1],
    /// How many in all.
    all: usize,
    /// Objects that are reached by slots which were noted before their page was known, and the label.
    pub(super) reached: Vec<(u64, u8)>,
    /// Objects that were stopped at and are gone on from, and the label.
    pub(super) unbarred: Vec<(u64, u8)>,
}

impl Noted {
    pub(super) fn slot(&mut self, label: u8, slot: u64, word: u64) {
        if self.all < MOST_SLOTS
            && let Some(slots) = self.slots.get_mut(usize::from(label))
        {
            slots.push((slot, word));
            self.all += 1;
        }
    }

    /// Takes what was noted with this label.
    pub(super) fn take_slots(&mut self, label: u8) -> Vec<(u64, u64)> {
        let slots = self.slots.get_mut(usize::from(label)).map(std::mem::take);
        let slots = slots.unwrap_or_default();
        self.all -= slots.len();
        slots
    }

    /// Puts back what was taken.
    pub(super) fn put(&mut self, label: u8, slots: Vec<(u64, u64)>) {
        if let Some(kept) = self.slots.get_mut(usize::from(label)) {
            self.all = self.all - kept.len() + slots.len();
            *kept = slots;
        }
    }
}

/// Takes the addresses with this label.
pub(super) fn take(noted: &mut Vec<(u64, u8)>, label: u8) -> Vec<u64> {
    let of = |(_, own): &mut (u64, u8)| *own == label;
    noted.extract_if(.., of).map(|(address, _)| address).collect()
}
