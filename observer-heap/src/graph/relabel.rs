//! Follows several barriers at once, so that a page is read once for all of them: reads which barrier reaches an object, tells to which it
//! counts.
//!
//! What several reach has the label of the first. An object that was reached by a later one before is visited again, and counts to
//! the earlier one from then on. Young objects count to the one that reached them first.

use crate::graph::labels::Telling;
use crate::graph::live::Live;
use crate::layout::maps::MapId;

/// Objects that wait for being visited again.
const MOST_AGAIN: usize = 1 << 18;

impl Live {
    /// Goes on from an object that was stopped at, with the label that is set.
    pub(crate) fn unbar_labelled(&mut self, address: u64) {
        self.telling.own.insert(address, ());
        self.unbar(address);
    }

    /// Goes on from all objects of a map, with the label that is set.
    pub(crate) fn unbar_map_labelled(&mut self, map: MapId) {
        self.telling.maps.push((map, self.label));
        self.unbar_map(map);
    }

    /// Forgets all labels.
    pub(crate) fn unlabel(&mut self) {
        self.label = 0;
        self.telling = Telling::default();
        self.repeated.clear();
        for mark in &mut self.marks {
            mark.labels = None;
        }
    }

    fn set_label(&mut self, address: u64) {
        let label = self.label;
        if let Some((mark, word, flag)) = self.bit(address)
            && let Some(labels) = &mut mark.labels
        {
            labels.set(word * 64 + flag.trailing_zeros() as usize, label);
        }
    }

    /// An object, by its page and word, is reached once more, with a label that is set and comes before its own.
    #[inline(never)]
    pub(crate) fn relabel(&mut self, index: u32, bit: usize) {
        let mark = &mut self.marks[index as usize];
        let Some(labels) = &mut mark.labels else { return };
        let (known, address) = (labels.of(bit), mark.page.base + bit as u64 * 8);
        if self.telling.own.contains_key(&address) {
            return;
        }
        let (word, flag) = (bit / 64, 1 << (bit % 64));
        if mark.visited[word] & flag != 0 {
            if self.telling.again.len() >= MOST_AGAIN {
                return;
            }
            self.telling.again.insert(address, known);
            mark.visited[word] &= !flag;
            mark.open += 1;
            if !mark.pending {
                mark.pending = true;
                self.pending.push(index);
            }
        }
        labels.set(bit, self.label);
    }

    /// An object is visited, of which the label is set: sets that of its map's barrier where there is one. Returns the label that it was
    /// counted with before.
    #[inline]
    pub(crate) fn told(&mut self, address: u64, map: MapId) -> Option<u8> {
        if let Some((_, label)) = self.telling.maps.iter().find(|(known, _)| *known == map) {
            self.label = *label;
            self.set_label(address);
        }
        if self.telling.again.is_empty() {
            return None;
        }
        self.telling.again.remove(&address)
    }
}
