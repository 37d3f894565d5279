//! Remembers what the objects of a page point at, produces whether one of them may own what is searched for: most pages cannot,
//! and are not read.

use crate::memory::by_address::ByAddress;
use crate::memory::pages::PAGE;

/// Objects of other pages that are remembered by their addresses: maps, functions and scopes that many of a page's objects share.
/// An address stands in one of so many places.
const SHARED: usize = 64;
const PLACES: usize = 4;
/// Bits for the pages of the rest, one for each number modulo this.
const PAGES: usize = 1 << 11;
const WORDS: usize = PAGES / 64;

const fn bit(page: u64) -> (usize, u64) {
    let bit = page as usize % PAGES;
    (bit / 64, 1 << (bit % 64))
}

/// What the objects of one page that are held point at, besides one another.
#[derive(Clone)]
pub(crate) struct Targets {
    shared: [u64; SHARED],
    pages: [u64; WORDS],
    /// Some point at young objects, which move.
    pub(crate) young: bool,
}

impl Targets {
    pub(crate) const fn new() -> Self {
        Self {
            shared: [0; SHARED],
            pages: [0; WORDS],
            young: false,
        }
    }

    /// Adds an object of another page.
    #[inline]
    pub(crate) fn add(&mut self, address: u64) {
        let first = (address >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        for place in 0..PLACES {
            let known = &mut self.shared[(first as usize + place) % SHARED];
            if *known == address {
                return;
            }
            if *known == 0 {
                *known = address;
                return;
            }
        }
        let (word, flag) = bit(address / PAGE);
        self.pages[word] |= flag;
    }

    /// Whether one of the objects of this page, by its number, may own one of these: surely none where this is false.
    pub(crate) fn may_own(&self, page: u64, wanted: &Wanted) -> bool {
        self.young
            || wanted.in_page.contains_key(&page)
            || self
                .pages
                .iter()
                .zip(&wanted.pages)
                .any(|(own, wanted)| own & wanted != 0)
            || self.shared.iter().any(|&address| wanted.contains(address))
    }
}

/// Objects whose owners are looked for, and the pages they lie in.
pub(crate) struct Wanted {
    objects: ByAddress<()>,
    /// How many, by number of the page.
    in_page: ByAddress<u32>,
    /// The pages, and how many objects make each bit.
    pages: [u64; WORDS],
    of: Vec<u32>,
}

impl Wanted {
    pub(crate) fn new() -> Self {
        Self {
            objects: ByAddress::default(),
            in_page: ByAddress::default(),
            pages: [0; WORDS],
            of: vec![0; PAGES],
        }
    }

    pub(crate) fn contains(&self, address: u64) -> bool {
        self.objects.contains_key(&address)
    }

    pub(crate) fn insert(&mut self, address: u64) {
        if self.objects.insert(address, ()).is_none() {
            let page = address / PAGE;
            *self.in_page.entry(page).or_default() += 1;
            let (word, flag) = bit(page);
            self.pages[word] |= flag;
            self.of[page as usize % PAGES] += 1;
        }
    }

    pub(crate) fn remove(&mut self, address: u64) {
        if self.objects.remove(&address).is_some() {
            let page = address / PAGE;
            if let Some(left) = self.in_page.get_mut(&page) {
                *left -= 1;
                if *left == 0 {
                    self.in_page.remove(&page);
                }
            }
            let left = &mut self.of[page as usize % PAGES];
            *left -= 1;
            if *left == 0 {
                let (word, flag) = bit(page);
                self.pages[word] &= !flag;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u64 = 5;

    const fn at(page: u64, offset: u64) -> u64 {
        page * PAGE + offset
    }

    /// What a page points at that points at so many objects of each of these pages.
    fn targets(pages: &[u64], each: u64) -> Targets {
        let mut targets = Targets::new();
        for &page in pages {
            (0..each).for_each(|n| targets.add(at(page, 64 * n)));
        }
        targets
    }

    #[test]
    fn a_page_may_own_what_it_points_at_until_that_is_not_wanted_any_more() {
        let far = 9 + 3 * PAGES as u64;
        // Few objects are known by themselves, many by their pages.
        for each in [1, 1_000] {
            let targets = targets(&[7, far], each);
            let mut wanted = Wanted::new();
            wanted.insert(at(8, 64));
            assert!(!targets.may_own(OWN, &wanted));
            for address in [at(far, 0), at(far, 64 * (each - 1)), at(7, 0)] {
                wanted.insert(address);
                assert!(targets.may_own(OWN, &wanted) && wanted.contains(address));
            }
            wanted.remove(at(7, 0));
            assert!(targets.may_own(OWN, &wanted));
            // What is wanted twice is given up once.
            for address in [at(far, 0), at(far, 0), at(far, 64 * (each - 1))] {
                wanted.remove(address);
            }
            assert!(!targets.may_own(OWN, &wanted) && wanted.contains(at(8, 64)));
        }
    }

    #[test]
    fn of_few_targets_others_in_the_same_page_are_told_apart() {
        let mut wanted = Wanted::new();
        wanted.insert(at(7, 8));
        assert!(!targets(&[7], 1).may_own(OWN, &wanted));
    }

    #[test]
    fn objects_of_one_page_may_own_one_another_and_young_ones_what_they_like() {
        let mut wanted = Wanted::new();
        wanted.insert(at(OWN, 8));
        assert!(Targets::new().may_own(OWN, &wanted));
        let mut targets = Targets::new();
        targets.young = true;
        assert!(targets.may_own(OWN, &Wanted::new()));
    }
}
