//! Remembers by which of several barriers the objects of a page are reached: four bits for each sixteen bytes, which is as small as
//! objects are.

use crate::layout::maps::MapId;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Pages, Space};

/// Words of a page for each label.
const WORDS: usize = 2;
/// Bytes of a page's labels.
const BYTES: usize = PAGE as usize / 8 / WORDS / 2;

/// The labels of one page: 0 where there is none.
pub(crate) struct Labels(Box<[u8; BYTES]>);

impl Labels {
    pub(crate) fn new() -> Self {
        Self(Box::new([0; BYTES]))
    }

    /// The label of the object that begins at this word of the page.
    pub(crate) const fn of(&self, word: usize) -> u8 {
        let at = word / WORDS;
        self.0[at / 2] >> (at % 2 * 4) & 15
    }

    pub(crate) const fn set(&mut self, word: usize, label: u8) {
        let at = word / WORDS;
        let shift = at % 2 * 4;
        let byte = &mut self.0[at / 2];
        *byte = *byte & !(15 << shift) | (label & 15) << shift;
    }
}

/// Bytes that the labels of all pages take, at most.
pub(crate) fn cost(pages: &Pages) -> usize {
    pages.pages.iter().filter(|page| page.space == Space::Old).count() * BYTES
}

/// What is known of labels besides them.
#[derive(Default)]
pub(crate) struct Telling {
    /// Barriers are told apart.
    pub(crate) barriers: bool,
    /// What counts to its own barrier, whatever else reaches it: the barriers themselves, and objects of maps.
    pub(crate) own: ByAddress<()>,
    pub(crate) maps: Vec<(MapId, u8)>,
    /// Objects that are to be visited again, with the labels they were counted with.
    pub(crate) again: ByAddress<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_keep_their_labels() {
        let mut labels = Labels::new();
        let last = PAGE as usize / 8 - 1;
        for (word, label) in [(0, 3), (2, 15), (5, 1), (2, 4), (last, 7)] {
            labels.set(word, label);
        }
        let of: Vec<u8> = [0, 2, 5, 6, last].map(|word| labels.of(word)).to_vec();
        assert_eq!(of, [3, 4, 1, 0, 7]);
    }
}
