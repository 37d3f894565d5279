//! Reads old objects for a visitor, and notes which of their slots point at young ones.

use crate::layout::refusal::Refusal;
use crate::memory::pages::Page;
use crate::walk::walker::{Object, Visit};
use crate::walk::young::Young;

/// Visits old objects and notes what they reach among the young.
pub(crate) struct Old<'o, V: Visit> {
    pub(crate) young: &'o mut Young,
    pub(crate) visit: &'o mut V,
}

impl<V: Visit> Visit for Old<'_, V> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.slots {
            self.young.note(0, object.address, object.words);
        }
        self.visit.object(object)
    }

    fn wants(&mut self, page: &Page, words: &[[u8; 8]]) -> bool {
        self.visit.wants(page, words) || self.visit.points_at_young(page) && self.young.is_touched(words)
    }

    fn again(&mut self) -> bool {
        self.visit.again()
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        self.young.note(0, object.address + first as u64 * 8, words);
        self.visit.more(object, first, words)
    }
}
