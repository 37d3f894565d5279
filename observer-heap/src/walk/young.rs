//! Reads the young generation and visits the objects in it that a minor collection would keep: those reachable from the
//! old generation. Dead young objects stay readable until overwritten, and a program that makes much garbage would
//! otherwise seem to hold many times what it does.
//!
//! Roots that are not in the heap (the stack, handles) are not followed: what only they hold is about to be dropped or
//! promoted, and counted then.

use crate::layout::maps::{MapId, Maps};
use crate::layout::refusal::Refusal;
use crate::layout::sizes::Sizes;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Page, Space};
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::walk::noted::{Noted, take};
use crate::walk::walker::{Choose, Object, Visit, Walker};

/// Slots of the filter that tells most pointers apart from young ones by one load.
const FILTER: usize = 1 << 12;
/// Words of a page's bit map: one bit for each word of the page.
const BITS: usize = (PAGE / 8 / 64) as usize;
/// Passes over the young generation; a list that zigzags through all pages could ask for many.
const MOST_PASSES: usize = 256;
/// Slots, and objects, looked at again to see whether a collection moved what they point at.
const CHECKED: usize = 256;
/// Objects remembered that were not followed.
pub(crate) const MOST_STOPPED: usize = 1 << 18;
/// Times the young generation is read before a moving one is taken as it is.
const ATTEMPTS: usize = 5;

pub(super) struct Marks {
    page: Page,
    reached: Box<[u64; BITS]>,
    pub(super) visited: Box<[u64; BITS]>,
    pending: bool,
}

impl Marks {
    /// Addresses of objects that were visited.
    fn visited(&self) -> impl Iterator<Item = u64> + '_ {
        let words = self.visited.iter().enumerate();
        words.flat_map(move |(index, &word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| self.page.base + (index as u64 * 64 + bit) * 8)
        })
    }
}

/// The young objects of one isolate that were found reachable.
pub(crate) struct Young {
    filter: Vec<bool>,
    index: ByAddress<usize>,
    marks: Vec<Marks>,
    pub(super) noted: Noted,
    /// Maps whose objects are not followed, and the objects so left.
    pub(super) barred: Vec<MapId>,
    pub(super) stopped: Vec<u64>,
    /// Objects whose map word was not one: moved while they were read.
    pub(crate) torn: u64,
}

impl Young {
    /// Bytes of young pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.marks.iter().map(|marks| marks.page.area()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(crate) fn new<'p>(pages: impl Iterator<Item = &'p Page>) -> Self {
        let mut young = Self {
            filter: vec![false; FILTER],
            index: ByAddress::default(),
            marks: Vec::new(),
            noted: Noted::default(),
            barred: Vec::new(),
            stopped: Vec::new(),
            torn: 0,
        };
        for page in pages.filter(|page| page.space == Space::Young) {
            young.add(*page);
        }
        young
    }

    fn add(&mut self, page: Page) {
        // A large young page holds one object, at its start: one bit map covers it.
        let number = page.base / PAGE;
        self.filter[number as usize % FILTER] = true;
        self.index.insert(number, self.marks.len());
        self.marks.push(Marks {
            page,
            reached: Box::new([0; BITS]),
            visited: Box::new([0; BITS]),
            pending: false,
        });
    }

    /// Takes in a page that came into being meanwhile, with the objects in it that are reached, and their labels.
    pub(crate) fn take_in(&mut self, page: Page, reached: Vec<(u64, u8)>) {
        if !self.index.contains_key(&(page.base / PAGE)) {
            self.add(page);
            self.noted.reached.extend(reached);
        }
    }

    pub(super) fn bit(&mut self, address: u64) -> Option<(&mut Marks, usize, u64)> {
        let &index = self.index.get(&(address / PAGE))?;
        let marks = self.marks.get_mut(index)?;
        let bit = (address.checked_sub(marks.page.base)? / 8) as usize;
        (bit / 64 < BITS).then_some((marks, bit / 64, 1 << (bit % 64)))
    }

    /// Notes the young objects that these words point at.
    #[inline]
    fn reach(&mut self, words: &[[u8; 8]]) {
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
        if address < marks.page.start
            || address >= marks.page.end.min(marks.page.base + PAGE)
            || !address.is_multiple_of(8)
        {
            return;
        }
        let bit = ((address - marks.page.base) / 8) as usize;
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        if marks.reached[word] & mask == 0 {
            marks.reached[word] |= mask;
            marks.pending = true;
        }
    }

    /// Notes the slots of an old object, from `address` on, that point at young pages. Returns whether there are any.
    #[inline]
    pub(crate) fn note(&mut self, label: u8, address: u64, words: &[[u8; 8]]) -> bool {
        let mut any = false;
        for (index, word) in words.iter().enumerate() {
            any |= self.note_slot(label, address + index as u64 * 8, u64::from_le_bytes(*word));
        }
        any
    }

    /// Notes one slot, if it points at a young page. Returns whether it does.
    #[inline]
    pub(crate) fn note_slot(&mut self, label: u8, slot: u64, word: u64) -> bool {
        self.filter[(word / PAGE) as usize % FILTER] && word & TAG_MASK == STRONG && self.note_young(label, slot, word)
    }

    #[inline(never)]
    fn note_young(&mut self, label: u8, slot: u64, word: u64) -> bool {
        let young = self.index.contains_key(&(word / PAGE));
        if young {
            self.noted.slot(label, slot, word);
        }
        young
    }

    /// Whether any of these words points at a young page.
    pub(super) fn is_touched(&self, words: &[[u8; 8]]) -> bool {
        words.iter().any(|word| {
            let word = u64::from_le_bytes(*word);
            let number = word / PAGE;
            self.filter[number as usize % FILTER] && word & TAG_MASK == STRONG && self.index.contains_key(&number)
        })
    }

    /// Finds what the noted slots reach, as they are now: since they were noted a minor collection may have moved it.
    /// Returns whether nothing moved meanwhile.
    fn trace(&mut self, maps: &Maps<'_>, sizes: &Sizes) -> Result<bool, Refusal> {
        for marks in &mut self.marks {
            marks.reached.fill(0);
            marks.visited.fill(0);
        }
        self.torn = 0;
        for (address, _) in self.noted.reached.clone() {
            self.mark(address, address / PAGE);
        }
        maps.peek.forget();
        let mut slots = self.noted.take_slots(0);
        let every = slots.len() / CHECKED + 1;
        let mut checked = Vec::new();
        for (index, (slot, word)) in slots.iter_mut().enumerate() {
            *word = maps.peek.word(*slot)?;
            self.reach(&[word.to_le_bytes()]);
            if index % every == 0 {
                checked.push((*slot, *word));
            }
        }
        self.noted.put(0, slots);
        let mut walker = Walker::new(maps, sizes);
        for _ in 0..MOST_PASSES {
            let mut any = false;
            for index in 0..self.marks.len() {
                if self.marks[index].pending {
                    any = true;
                    self.marks[index].pending = false;
                    let page = self.marks[index].page;
                    walker.chosen(
                        &page,
                        &mut Step {
                            young: self,
                            index,
                            word: 0,
                            visit: &mut Nothing,
                        },
                    )?;
                }
            }
            if !any {
                break;
            }
        }
        maps.peek.forget();
        let mut moved = 0;
        for &(slot, word) in &checked {
            moved += usize::from(maps.peek.word(slot)? != word);
        }
        Ok(self.torn == 0 && moved * 10 <= checked.len())
    }

    /// Whether a minor collection moved objects since they were visited: where they stood is no map any more.
    pub(crate) fn moved(&self, maps: &Maps<'_>) -> Result<bool, Refusal> {
        let visited = || self.marks.iter().flat_map(Marks::visited);
        let every = visited().count() / CHECKED + 1;
        maps.peek.forget();
        let (mut looked, mut moved) = (0, 0);
        for address in visited().step_by(every) {
            looked += 1;
            // A page that is gone was emptied before.
            let stands = match maps.peek.word(address) {
                Ok(word) => maps.lookup(word)?.is_some(),
                Err(_) => false,
            };
            moved += usize::from(!stands);
        }
        Ok(moved * 10 > looked)
    }

    /// Visits what the slots noted with this label since the last time reach and was not visited before. Nothing is found anew
    /// when a minor collection intervenes. Returns whether it ended before everything was visited.
    pub(crate) fn spread(
        &mut self,
        label: u8,
        walker: &mut Walker<'_, '_>,
        visit: &mut impl Visit,
    ) -> Result<bool, Refusal> {
        let maps = walker.maps;
        maps.peek.forget();
        for address in take(&mut self.noted.unbarred, label) {
            if let Some((marks, word, flag)) = self.bit(address) {
                marks.visited[word] &= !flag;
                marks.reached[word] |= flag;
                marks.pending = true;
            }
        }
        for address in take(&mut self.noted.reached, label) {
            self.mark(address, address / PAGE);
        }
        let mut slots = self.noted.take_slots(label);
        for (slot, word) in &mut slots {
            *word = maps.peek.word(*slot)?;
            self.reach(&[word.to_le_bytes()]);
        }
        visit.old_slots(&slots);
        for _ in 0..MOST_PASSES {
            let mut any = false;
            for index in 0..self.marks.len() {
                if std::mem::take(&mut self.marks[index].pending) {
                    any = true;
                    self.step(walker, index, visit)?;
                }
            }
            if !any {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Visits every reachable object once; when a minor collection intervenes, everything is found anew.
    pub(crate) fn visit(&mut self, maps: &Maps<'_>, sizes: &Sizes, visit: &mut impl Visit) -> Result<(), Refusal> {
        for _ in 0..ATTEMPTS {
            if self.trace(maps, sizes)? {
                break;
            }
        }
        // Looked at once more, they would point at where what is visited now was moved to.
        let slots = self.noted.take_slots(0);
        let mut walker = Walker::new(maps, sizes);
        for index in 0..self.marks.len() {
            self.marks[index].visited.fill(0);
            self.step(&mut walker, index, visit)?;
        }
        visit.old_slots(&slots);
        Ok(())
    }

    /// Visits the objects of one page that were reached and not visited yet.
    fn step(&mut self, walker: &mut Walker<'_, '_>, index: usize, visit: &mut impl Visit) -> Result<(), Refusal> {
        let page = self.marks[index].page;
        let mut step = Step {
            young: self,
            index,
            word: 0,
            visit,
        };
        walker.chosen(&page, &mut step)
    }
}

/// Chooses the objects of one page, and is told about them.
pub(crate) struct Step<'y, V: Visit> {
    young: &'y mut Young,
    index: usize,
    /// Word of the bit map from which on the next is looked for.
    word: usize,
    visit: &'y mut V,
}

impl<V: Visit> Choose for Step<'_, V> {
    /// The next object reached and not yet visited; marks it visited.
    fn next(&mut self) -> Option<usize> {
        let marks = &mut self.young.marks[self.index];
        loop {
            while let (Some(reached), Some(visited)) = (marks.reached.get(self.word), marks.visited.get_mut(self.word))
            {
                let open = reached & !*visited;
                if open != 0 {
                    let bit = open.trailing_zeros();
                    *visited |= 1 << bit;
                    let start = ((marks.page.start - marks.page.base) / 8) as usize;
                    return (self.word * 64 + bit as usize).checked_sub(start);
                }
                self.word += 1;
            }
            if !marks.pending {
                return None;
            }
            // Objects before this one were reached meanwhile.
            marks.pending = false;
            self.word = 0;
        }
    }

    fn torn(&mut self, _: u64) {
        self.young.torn += 1;
    }
}

impl<V: Visit> Visit for Step<'_, V> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if !self.young.barred.is_empty() && self.young.barred.contains(&object.map) {
            if self.young.stopped.len() < MOST_STOPPED {
                self.young.stopped.push(object.address);
            }
            return Ok(());
        }
        if object.slots {
            self.young.reach(object.words);
        }
        self.visit.object(object)
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        if self.young.barred.contains(&object.map) {
            return Ok(());
        }
        self.young.reach(words);
        self.visit.more(object, first, words)
    }
}

struct Nothing;

impl Visit for Nothing {
    fn object(&mut self, _: &Object<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}
