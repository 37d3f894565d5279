//! Remembers where objects were held, in a five-hundredth of their memory, so that a later reading can tell what is new.

use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Pages, Space};

/// Bytes of memory for each bit.
const GRANULE: u64 = 64;
/// Words of the bit map of a page.
const WORDS: usize = 64;
/// Pages remembered: a heap of 2 GiB, in 4 MiB.
const MOST_PAGES: usize = 1 << 13;

/// Where objects of one page were held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granules(Box<[u64; WORDS]>);

impl Granules {
    /// Whether an object at this offset may have been held then.
    #[inline]
    pub(crate) fn contains(&self, offset: u64) -> bool {
        let granule = (offset / GRANULE) as usize;
        self.0
            .get(granule / 64)
            .is_some_and(|word| word >> (granule % 64) & 1 == 1)
    }
}

/// One bit for eight of a page's words: a byte of the finer map.
fn granules(words: &[u64]) -> Box<[u64; WORDS]> {
    let mut bits = Box::new([0_u64; WORDS]);
    for (index, word) in words.iter().enumerate() {
        for (byte, value) in word.to_le_bytes().into_iter().enumerate() {
            let granule = index * 8 + byte;
            if value != 0
                && let Some(bits) = bits.get_mut(granule / 64)
            {
                *bits |= 1 << (granule % 64);
            }
        }
    }
    bits
}

/// Where objects were held, by page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pages: ByAddress<Granules>,
    /// Not all of it could be remembered.
    pub(crate) overflowed: bool,
}

impl Held {
    /// Adds a page by its number and one bit for each of its words.
    pub(crate) fn add(&mut self, page: u64, words: &[u64]) {
        if self.pages.len() >= MOST_PAGES {
            self.overflowed = true;
            return;
        }
        self.pages.insert(page, Granules(granules(words)));
    }

    /// Whether a page, by its number and one bit for each of its words, has something that was not held then.
    pub(crate) fn lacks(&self, page: u64, words: &[u64]) -> bool {
        let now = granules(words);
        match self.pages.get(&page) {
            Some(before) => now.iter().zip(&before.0[..]).any(|(now, before)| now & !before != 0),
            None => now.iter().any(|&now| now != 0),
        }
    }

    /// Whether an object at this address may have been held then.
    pub(crate) fn contains(&self, page: u64, offset: u64) -> bool {
        self.page(page).is_some_and(|held| held.contains(offset))
    }

    /// What was held of a page, by its number.
    pub(crate) fn page(&self, page: u64) -> Option<&Granules> {
        self.pages.get(&page)
    }

    /// How many granules objects were held in on pages that are none of these any more: what lived there died, or was moved.
    pub(crate) fn gone(&self, pages: &Pages) -> u64 {
        let stands = |number: u64| {
            let found = pages.pages.binary_search_by_key(&(number * PAGE), |page| page.base);
            found.is_ok_and(|at| pages.pages[at].space == Space::Old)
        };
        let gone = self.pages.iter().filter(|(number, _)| !stands(**number));
        gone.flat_map(|(_, held)| held.0.iter())
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_again_by_its_granule() {
        let mut words = [0_u64; 512];
        words[1] = 1 << 9;
        let mut held = Held::default();
        held.add(7, &words);
        // Word 73 of the page: byte 584, granule 9.
        assert!(held.contains(7, 584) && held.contains(7, 576));
        assert!(!held.contains(7, 640) && !held.contains(8, 584));
        assert!(!held.lacks(7, &words) && held.lacks(8, &words));
        words[3] = 1;
        assert!(held.lacks(7, &words));
    }
}
