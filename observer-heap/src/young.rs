//! Reads the young generation and visits the objects in it that a minor collection would keep: those reachable from the old generation. Dead young objects stay readable until overwritten, and a program that
//! makes much garbage would otherwise seem to hold many times what it does.
//!
//! Roots that are not in the heap (the stack, handles) are not followed: what only they hold is about to be dropped or
//! promoted, and counted then.

use crate::maps::{ByAddress, Maps};
use crate::memory::Memory;
use crate::pages::{PAGE, Page, Space};
use crate::peek::{STRONG, TAG_MASK};
use crate::refusal::Refusal;
use crate::sizes::Sizes;
use crate::walk::{Object, Visit, Walker};

/// Slots of the filter that tells most pointers apart from young ones by one load.
const FILTER: usize = 1 << 12;
/// Words of a page's bit map: one bit for each word of the page.
const BITS: usize = (PAGE / 8 / 64) as usize;
/// Passes over the young generation; a list that zigzags through all pages could ask for many.
const MOST_PASSES: usize = 256;

struct Marks {
    page: Page,
    reached: Box<[u64; BITS]>,
    visited: Box<[u64; BITS]>,
    pending: bool,
}

/// The young objects of one isolate that were found reachable.
pub(crate) struct Young {
    filter: Vec<bool>,
    index: ByAddress<usize>,
    marks: Vec<Marks>,
    /// Objects whose map word was not one: moved while they were read.
    pub(crate) torn: u64,
}

impl Young {
    pub(crate) fn new<'p>(pages: impl Iterator<Item = &'p Page>) -> Self {
        let mut young = Self {
            filter: vec![false; FILTER],
            index: ByAddress::default(),
            marks: Vec::new(),
            torn: 0,
        };
        for page in pages.filter(|page| page.space == Space::Young) {
            // A large young page holds one object, at its start: one bit map covers it.
            let number = page.base / PAGE;
            young.filter[number as usize % FILTER] = true;
            young.index.insert(number, young.marks.len());
            young.marks.push(Marks {
                page: *page,
                reached: Box::new([0; BITS]),
                visited: Box::new([0; BITS]),
                pending: false,
            });
        }
        young
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.marks.iter().map(|marks| marks.page.area()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Notes the young objects that these words point at.
    #[inline]
    pub(crate) fn reach(&mut self, words: &[[u8; 8]]) {
        for word in words {
            let word = u64::from_le_bytes(*word);
            let number = word / PAGE;
            let noted = self.filter[number as usize % FILTER];
            if noted && word & TAG_MASK == STRONG {
                self.mark(word - STRONG, number);
            }
        }
    }

    fn mark(&mut self, address: u64, number: u64) {
        let Some(&index) = self.index.get(&number) else { return };
        let marks = &mut self.marks[index];
        if address < marks.page.start || address >= marks.page.end.min(marks.page.base + PAGE) || address % 8 != 0 {
            return;
        }
        let bit = ((address - marks.page.base) / 8) as usize;
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        if marks.reached[word] & mask == 0 {
            marks.reached[word] |= mask;
            marks.pending = true;
        }
    }

    /// Visits every reachable object once.
    pub(crate) fn visit<M: Memory + ?Sized>(
        &mut self,
        maps: &Maps<'_, M>,
        sizes: &Sizes,
        visit: &mut impl Visit,
    ) -> Result<(), Refusal> {
        let mut walker = Walker::new(maps, sizes);
        for _ in 0..MOST_PASSES {
            let mut any = false;
            for index in 0..self.marks.len() {
                if self.marks[index].pending {
                    any = true;
                    self.marks[index].pending = false;
                    let page = self.marks[index].page;
                    let mut step = Step {
                        young: self,
                        index,
                        visit,
                    };
                    walker.chosen(&page, &mut step)?;
                }
            }
            if !any {
                break;
            }
        }
        Ok(())
    }
}

/// Chooses the objects of one page, and is told about them.
pub(crate) struct Step<'y, V: Visit> {
    young: &'y mut Young,
    index: usize,
    visit: &'y mut V,
}

impl<V: Visit> Step<'_, V> {
    /// The next object reached and not yet visited, as a word index from the area's start; marks it visited.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let marks = &mut self.young.marks[self.index];
        let (word, open) = marks
            .reached
            .iter()
            .zip(marks.visited.iter())
            .map(|(r, v)| r & !v)
            .enumerate()
            .find(|(_, open)| *open != 0)?;
        let bit = open.trailing_zeros();
        marks.visited[word] |= 1 << bit;
        let start = ((marks.page.start - marks.page.base) / 8) as usize;
        (word * 64 + bit as usize).checked_sub(start)
    }

    pub(crate) fn torn(&mut self) {
        self.young.torn += 1;
    }
}

impl<V: Visit> Visit for Step<'_, V> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.slots {
            self.young.reach(object.words);
        }
        self.visit.object(object)
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        self.young.reach(words);
        self.visit.more(object, first, words)
    }
}
