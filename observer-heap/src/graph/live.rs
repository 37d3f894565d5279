//! Marks the old objects that something holds, as V8's own collector would: from the roots on, object by object. What
//! was promoted before it died stays in the old generation until the next major collection, which may be minutes away;
//! here it is told from what the program holds.

use crate::graph::before::Held;
use crate::graph::roots::roots;
use crate::layout::maps::{MapId, Maps};
use crate::layout::refusal::Refusal;
use crate::layout::tables::Tables;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Page, Pages, Space};
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::walk::walker::{Choose, Object, Visit, Walker};

/// Slots of the filter that tells most pointers apart from those into the heap by one load.
const FILTER: usize = 1 << 14;
/// Words of a page's bit map: one bit for each word of the page.
const BITS: usize = (PAGE / 8 / 64) as usize;
/// Visits of pages, for each page there is; a list that zigzags through all pages could ask for many.
const MOST_VISITS: usize = 64;
/// In place of a page's index: it is the heap's, but not old.
const NOT_OLD: u32 = u32::MAX;
/// Unknown pages remembered.
const MOST_UNKNOWN: usize = 1 << 12;
/// One byte in so many may lie in pages that came into being meanwhile: a heap that grows has some at any time.
const MISSED: u64 = 33;
/// Objects remembered that were not followed.
const MOST_STOPPED: usize = 1 << 18;
/// One object in so many may have moved while it was looked for, before the reading counts as disturbed.
const DISTURBED: u64 = 50;

type Bits = Box<[u64; BITS]>;

struct Mark {
    page: Page,
    /// Objects pointed at, and of these the ones whose own pointers were followed.
    reached: Bits,
    visited: Bits,
    pending: bool,
}

/// The old objects that were found held.
pub(crate) struct Live {
    filter: Vec<bool>,
    index: ByAddress<u32>,
    marks: Vec<Mark>,
    last: (u64, u32),
    /// Numbers of pages that were pointed at and not known.
    unknown: ByAddress<()>,
    /// Maps whose objects are not followed, and the objects so left.
    barred: Vec<MapId>,
    stopped: Vec<u64>,
    visited: u64,
    /// Pointers at something that was no object (any more).
    torn: u64,
}

/// Bytes that marking this many pages takes.
pub(crate) fn cost(pages: &Pages) -> usize {
    pages.pages.iter().filter(|page| page.space == Space::Old).count() * (2 * BITS * 8 + size_of::<Mark>() + 16)
}

impl Live {
    pub(crate) fn new(pages: &Pages) -> Self {
        let mut live = Self {
            filter: vec![false; FILTER],
            index: ByAddress::default(),
            marks: Vec::new(),
            last: (u64::MAX, 0),
            unknown: ByAddress::default(),
            barred: Vec::new(),
            stopped: Vec::new(),
            visited: 0,
            torn: 0,
        };
        for page in &pages.pages {
            let number = page.base / PAGE;
            live.filter[number as usize % FILTER] = true;
            if page.space != Space::Old {
                live.index.insert(number, NOT_OLD);
                continue;
            }
            live.index.insert(number, live.marks.len() as u32);
            live.marks.push(Mark {
                page: *page,
                reached: Box::new([0; BITS]),
                visited: Box::new([0; BITS]),
                pending: false,
            });
        }
        live
    }

    /// Whether an old object was found held.
    pub(crate) fn holds(&self, address: u64) -> bool {
        self.index.get(&(address / PAGE)).is_some_and(|&index| {
            let Some(mark) = self.marks.get(index as usize) else {
                return false;
            };
            let bit = (address.saturating_sub(mark.page.base) / 8) as usize;
            mark.visited
                .get(bit / 64)
                .is_some_and(|word| word >> (bit % 64) & 1 == 1)
        })
    }

    /// Whether this was an old object that nothing holds, or came to be since.
    pub(crate) fn is_dead(&self, address: u64) -> bool {
        let old = self.index.get(&(address / PAGE)).is_some_and(|&index| index != NOT_OLD);
        old && !self.holds(address)
    }

    /// Stops at an object as if it were not there. False where it is not an old one.
    pub(crate) fn bar(&mut self, address: u64) -> bool {
        self.bit(address).is_some_and(|(mark, word, flag)| {
            mark.visited[word] |= flag;
            true
        })
    }

    /// Goes on from an object that was stopped at.
    pub(crate) fn unbar(&mut self, address: u64) {
        if let Some((mark, word, flag)) = self.bit(address) {
            mark.visited[word] &= !flag;
            mark.reached[word] |= flag;
            mark.pending = true;
        }
    }

    /// Stops at all objects of a map.
    pub(crate) fn bar_map(&mut self, map: MapId) {
        self.barred.push(map);
    }

    /// Goes on from all objects of a map.
    pub(crate) fn unbar_map(&mut self, map: MapId) {
        self.barred.retain(|&barred| barred != map);
        for address in std::mem::take(&mut self.stopped) {
            self.unbar(address);
        }
    }

    fn bit(&mut self, address: u64) -> Option<(&mut Mark, usize, u64)> {
        let &index = self.index.get(&(address / PAGE))?;
        let mark = self.marks.get_mut(index as usize)?;
        let bit = (address.checked_sub(mark.page.base)? / 8) as usize;
        (bit / 64 < BITS).then_some((mark, bit / 64, 1 << (bit % 64)))
    }

    /// Whether an isolate has objects that were reached and not visited.
    pub(crate) fn is_pending(&self, heap: u64) -> bool {
        self.marks.iter().any(|mark| mark.pending && mark.page.heap == heap)
    }

    /// Where objects were found held.
    pub(crate) fn held(&self) -> Held {
        let mut held = Held::default();
        for mark in &self.marks {
            held.add(mark.page.base / PAGE, &mark.visited[..]);
        }
        held
    }

    /// Notes what these words point at.
    #[inline]
    pub(crate) fn reach(&mut self, words: &[[u8; 8]]) {
        for word in words {
            let word = u64::from_le_bytes(*word);
            if word & TAG_MASK == STRONG {
                if self.filter[(word / PAGE) as usize % FILTER] {
                    self.mark(word - STRONG);
                } else if self.unknown.len() < MOST_UNKNOWN {
                    self.unknown.insert(word / PAGE, ());
                }
            }
        }
    }

    fn mark(&mut self, address: u64) {
        let number = address / PAGE;
        if self.last.0 != number {
            let Some(&index) = self.index.get(&number) else {
                if self.unknown.len() < MOST_UNKNOWN {
                    self.unknown.insert(number, ());
                }
                return;
            };
            self.last = (number, index);
        }
        let Some(mark) = self.marks.get_mut(self.last.1 as usize) else {
            return;
        };
        if address < mark.page.start
            || address >= mark.page.end.min(mark.page.base + PAGE)
            || !address.is_multiple_of(8)
        {
            return;
        }
        let bit = ((address - mark.page.base) / 8) as usize;
        let (word, flag) = (bit / 64, 1 << (bit % 64));
        if mark.reached[word] & flag == 0 {
            mark.reached[word] |= flag;
            mark.pending = true;
        }
    }

    /// Takes every word outside the heap that points into it as a root.
    pub(crate) fn roots(&mut self, maps: &Maps<'_>) -> Result<(), Refusal> {
        roots(maps, &mut |words| self.reach(words))?;
        // What these words seem to point at may be anything.
        self.unknown.clear();
        Ok(())
    }

    /// Visits every object of one isolate that is held and was not visited yet.
    pub(crate) fn follow(
        &mut self,
        heap: u64,
        walker: &mut Walker<'_, '_>,
        tables: Tables,
        visit: &mut impl Visit,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), Refusal> {
        let mut visits = self.marks.len().saturating_mul(MOST_VISITS);
        loop {
            let mut any = false;
            for index in 0..self.marks.len() {
                let mark = &mut self.marks[index];
                if !mark.pending || mark.page.heap != heap {
                    continue;
                }
                mark.pending = false;
                let page = mark.page;
                any = true;
                visits = visits.saturating_sub(1);
                let maps = walker.maps;
                let mut follow = Follow {
                    live: self,
                    maps,
                    tables,
                    index,
                    word: 0,
                    bytes: 0,
                    visit,
                };
                walker.chosen(&page, &mut follow)?;
                step(follow.bytes);
            }
            if !any || visits == 0 {
                return Ok(());
            }
        }
    }

    /// Pointers at something that was no object.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }

    /// Whether so much moved, or moved to a page that came into being, that the reading has to be repeated.
    pub(crate) fn disturbed(&self, since: &Pages) -> bool {
        let moved = |page: &Page| {
            matches!(page.space, Space::Old | Space::Young) && self.unknown.contains_key(&(page.base / PAGE))
        };
        let new: u64 = since.pages.iter().filter(|page| moved(page)).map(Page::area).sum();
        let all: u64 = self.marks.iter().map(|mark| mark.page.area()).sum();
        (self.torn > 1000 && self.torn * DISTURBED > self.visited) || new * MISSED > all
    }
}

/// Visits the objects of one page that were reached.
struct Follow<'f, 'm, V: Visit> {
    live: &'f mut Live,
    maps: &'f Maps<'m>,
    tables: Tables,
    index: usize,
    /// Word of the bit map from which on the next is looked for.
    word: usize,
    /// Bytes of the objects visited.
    bytes: u64,
    visit: &'f mut V,
}

impl<V: Visit> Follow<'_, '_, V> {
    fn pointers(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) {
        if Some(object.info.instance_type) == self.tables.weak {
            // Entries are pairs behind five words; the first of a pair is the weak key.
            for (index, word) in words.iter().enumerate() {
                if (first + index).is_multiple_of(2) {
                    self.live.reach(&[*word]);
                }
            }
        } else if !self.maps.is_weak(object.info.instance_type) {
            self.live.reach(words);
        }
    }
}

impl<V: Visit> Choose for Follow<'_, '_, V> {
    fn next(&mut self) -> Option<usize> {
        let mark = &mut self.live.marks[self.index];
        loop {
            while self.word < BITS {
                let open = mark.reached[self.word] & !mark.visited[self.word];
                if open != 0 {
                    let bit = open.trailing_zeros();
                    mark.visited[self.word] |= 1 << bit;
                    let start = ((mark.page.start - mark.page.base) / 8) as usize;
                    return (self.word * 64 + bit as usize).checked_sub(start);
                }
                self.word += 1;
            }
            if !mark.pending {
                return None;
            }
            // Objects before this one were reached meanwhile.
            mark.pending = false;
            self.word = 0;
        }
    }

    fn torn(&mut self) {
        self.live.torn += 1;
    }
}

impl<V: Visit> Visit for Follow<'_, '_, V> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if !self.live.barred.is_empty() && self.live.barred.contains(&object.map) {
            if self.live.stopped.len() < MOST_STOPPED {
                self.live.stopped.push(object.address);
            }
            return Ok(());
        }
        self.live.visited += 1;
        self.bytes += object.size;
        if object.slots {
            self.pointers(object, 0, object.words);
        } else {
            self.live.reach(&object.words[..1]);
        }
        self.visit.object(object)
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        if self.live.barred.contains(&object.map) {
            return Ok(());
        }
        self.pointers(object, first, words);
        self.visit.more(object, first, words)
    }
}
