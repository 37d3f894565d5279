//! Marks the old objects that something holds, as V8's own collector would: from the roots on, object by object. What
//! was promoted before it died stays in the old generation until the next major collection, which may be minutes away;
//! here it is told from what the program holds.

use crate::graph::before::Held;
use crate::graph::labels::{Labels, Telling};
use crate::graph::repeated::Repeated;
use crate::graph::roots::roots;
use crate::graph::targets::{Targets, Wanted};
use crate::layout::maps::{MapId, Maps};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Page, Pages, Space};
use crate::memory::peek::{STRONG, TAG_MASK};

/// Slots of the filter that tells most pointers apart from those into the heap by one load.
const FILTER: usize = 1 << 14;
/// Words of a page's bit map: one bit for each word of the page.
pub(crate) const BITS: usize = (PAGE / 8 / 64) as usize;
/// In place of a page's index: it is the heap's, but young, or nothing in it is followed.
const YOUNG: u32 = u32::MAX;
const NEITHER: u32 = u32::MAX - 1;
/// Pointers to unknown pages remembered.
const MOST_UNKNOWN: usize = 1 << 14;

type Bits = Box<[u64; BITS]>;

pub(crate) struct Mark {
    pub(crate) page: Page,
    /// Objects pointed at, and of these the ones whose own pointers were followed.
    pub(crate) reached: Bits,
    pub(crate) visited: Bits,
    /// It has objects that were reached and not visited; how many, about.
    pub(crate) pending: bool,
    pub(crate) open: u32,
    /// By which barriers, where these are told apart.
    pub(crate) labels: Option<Labels>,
    /// What those visited point at.
    pub(crate) targets: Box<Targets>,
}

/// What pages that came into being during the marks hold of what is reached.
#[derive(Default)]
pub(crate) struct Appeared {
    /// Old objects.
    pub(crate) old: bool,
    /// Young ones, by page, with their labels.
    pub(crate) young: Vec<(Page, Vec<(u64, u8)>)>,
}

/// The old objects that were found held.
pub(crate) struct Live {
    filter: Vec<bool>,
    index: ByAddress<u32>,
    pub(crate) marks: Vec<Mark>,
    /// Indices of pending pages, and of some that are not any more.
    pub(crate) pending: Vec<u32>,
    /// The page that is being visited, by its number, and what it points at.
    visiting: u64,
    /// Whether what pages point at is remembered: for a search upwards.
    pub(crate) remembers: bool,
    pub(crate) targets: Box<Targets>,
    /// Pages pointed at last, by their numbers: number and index.
    recent: Vec<(u64, u32)>,
    /// What is pointed at again and again.
    pub(crate) repeated: Repeated,
    /// What was pointed at and lies in no page that was known.
    pub(crate) unknown: ByAddress<u8>,
    /// The label of what is reached now, and whether there are any.
    pub(crate) label: u8,
    pub(crate) telling: Telling,
    /// Maps whose objects are not followed, and the objects so left.
    pub(crate) barred: Vec<MapId>,
    pub(crate) stopped: Vec<u64>,
    /// Objects visited, and their bytes.
    pub(crate) visited: u64,
    pub(crate) bytes: u64,
    /// Pointers at something that was no object (any more).
    pub(crate) torn: u64,
    /// Of these, pointers at what a collection had moved, which was followed to where it stands now.
    pub(crate) forwarded: u64,
    /// Of these, pointers at large objects: the store of a collection was replaced, and freed, before it was read.
    pub(crate) lost: u64,
    /// Pages that came into being since the marks began.
    pub(crate) appeared: Vec<Page>,
    /// Not everything that is reached was visited: it would have taken too many visits.
    pub(crate) cut: bool,
}

/// Bytes that marking this many pages takes.
pub(crate) fn cost(pages: &Pages) -> usize {
    pages.pages.iter().filter(|page| page.space == Space::Old).count()
        * (2 * BITS * 8 + size_of::<Mark>() + size_of::<Targets>() + 16)
}

impl Live {
    pub(crate) fn new(pages: &Pages) -> Self {
        let mut live = Self {
            filter: vec![false; FILTER],
            index: ByAddress::default(),
            marks: Vec::new(),
            pending: Vec::new(),
            targets: Box::new(Targets::new()),
            visiting: u64::MAX,
            remembers: true,
            recent: vec![(u64::MAX, 0); FILTER],
            repeated: Repeated::new(),
            unknown: ByAddress::default(),
            label: 0,
            telling: Telling::default(),
            barred: Vec::new(),
            stopped: Vec::new(),
            visited: 0,
            bytes: 0,
            torn: 0,
            forwarded: 0,
            lost: 0,
            appeared: Vec::new(),
            cut: false,
        };
        for page in &pages.pages {
            live.add(*page);
        }
        live
    }

    fn add(&mut self, page: Page) {
        let number = page.base / PAGE;
        self.filter[number as usize % FILTER] = true;
        let not_old = match page.space {
            Space::Old => None,
            Space::Young => Some(YOUNG),
            Space::ReadOnly | Space::Code => Some(NEITHER),
        };
        if let Some(index) = not_old {
            self.index.insert(number, index);
            return;
        }
        self.index.insert(number, self.marks.len() as u32);
        self.marks.push(Mark {
            page,
            reached: Box::new([0; BITS]),
            visited: Box::new([0; BITS]),
            pending: false,
            open: 0,
            labels: None,
            targets: Box::new(Targets::new()),
        });
    }

    /// Takes in pages that came into being since the marks began, where something was found to point at them: the store of a
    /// collection that outgrew its old one stands in such a page, and everything it holds is reached through it. Returns what
    /// is reached there.
    pub(crate) fn take_in(&mut self, maps: &Maps<'_>) -> Result<Appeared, Refusal> {
        let mut reached: Vec<(u64, u8)> = self.unknown.iter().map(|(&address, &label)| (address, label)).collect();
        reached.sort_unstable();
        let mut appeared = Appeared::default();
        for page in maps.appeared(reached.iter().map(|(address, _)| address / PAGE))? {
            if self.index.contains_key(&(page.base / PAGE)) {
                continue;
            }
            self.add(page);
            self.appeared.push(page);
            let from = reached.partition_point(|(address, _)| *address < page.base);
            let to = reached.partition_point(|(address, _)| *address < page.base + PAGE);
            for (address, label) in &reached[from..to] {
                self.unknown.remove(address);
                if page.space == Space::Old {
                    self.label = *label;
                    self.mark(*address);
                }
            }
            match page.space {
                Space::Old => appeared.old = true,
                Space::Young => appeared.young.push((page, reached[from..to].to_vec())),
                Space::ReadOnly | Space::Code => {}
            }
        }
        Ok(appeared)
    }

    /// The old pages marked.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Page> + Clone {
        self.marks.iter().map(|mark| &mark.page)
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
        let index = self.index.get(&(address / PAGE));
        let old = index.is_some_and(|&index| (index as usize) < self.marks.len());
        old && !self.holds(address)
    }

    /// Stops at an object as if it were not there, if it is an old one.
    pub(crate) fn bar(&mut self, address: u64) {
        if let Some((mark, word, flag)) = self.bit(address) {
            mark.visited[word] |= flag;
        }
    }

    /// Goes on from an object that was stopped at.
    pub(crate) fn unbar(&mut self, address: u64) {
        if let Some((mark, word, flag)) = self.bit(address) {
            mark.visited[word] &= !flag;
            mark.reached[word] &= !flag;
            self.mark(address);
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

    pub(crate) fn bit(&mut self, address: u64) -> Option<(&mut Mark, usize, u64)> {
        let &index = self.index.get(&(address / PAGE))?;
        let mark = self.marks.get_mut(index as usize)?;
        let bit = (address.checked_sub(mark.page.base)? / 8) as usize;
        (bit / 64 < BITS).then_some((mark, bit / 64, 1 << (bit % 64)))
    }

    /// Whether an address lies in a page that was known, or came into being since.
    pub(crate) fn knows(&self, address: u64) -> bool {
        self.index.contains_key(&(address / PAGE))
    }

    /// Whether an isolate has objects that were reached and not visited.
    pub(crate) fn is_pending(&self, heap: u64) -> bool {
        self.marks.iter().any(|mark| mark.pending && mark.page.heap == heap)
    }

    #[inline]
    fn mark_of(&self, page: &Page) -> Option<&Mark> {
        let &index = self.index.get(&(page.base / PAGE))?;
        self.marks.get(index as usize)
    }

    /// Whether something is held of a page that was not held before, as far as that is remembered.
    pub(crate) fn is_new(&self, page: &Page, before: &Held) -> bool {
        self.mark_of(page)
            .is_none_or(|mark| before.lacks(page.base / PAGE, &mark.visited[..]))
    }

    /// Whether an object of this page that is held may own one of these.
    pub(crate) fn may_own(&self, page: &Page, wanted: &Wanted) -> bool {
        self.mark_of(page)
            .is_none_or(|mark| mark.targets.may_own(page.base / PAGE, wanted))
    }

    /// Whether old objects of this page point at young ones, or none was known.
    pub(crate) fn points_at_young(&self, page: &Page) -> bool {
        self.mark_of(page).is_none_or(|mark| mark.targets.young)
    }

    /// From here on, what is pointed at is pointed at by the objects of this page.
    pub(crate) fn begin(&mut self, index: usize) {
        std::mem::swap(&mut self.targets, &mut self.marks[index].targets);
        self.visiting = self.marks[index].page.base / PAGE;
        self.repeated.clear();
    }

    /// Until here.
    pub(crate) fn end(&mut self, index: usize) {
        std::mem::swap(&mut self.targets, &mut self.marks[index].targets);
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
        self.reach_with(words, |_, _| {});
    }

    /// The same; `other` is told those that point at what is young, by their index.
    #[inline]
    pub(crate) fn reach_with(&mut self, words: &[[u8; 8]], mut other: impl FnMut(usize, u64)) {
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            if word & TAG_MASK == STRONG && !self.repeated.contains(word, self.label) {
                if !self.filter[(word / PAGE) as usize % FILTER] {
                    self.note_unknown(word - STRONG);
                } else if self.mark(word - STRONG) {
                    other(index, word);
                }
            }
        }
    }

    fn note_unknown(&mut self, address: u64) {
        if self.unknown.len() < MOST_UNKNOWN && address.is_multiple_of(8) {
            self.unknown.entry(address).or_insert(self.label);
        }
    }

    /// Marks an old object; returns whether it is known to be young.
    fn mark(&mut self, address: u64) -> bool {
        let number = address / PAGE;
        let recent = &mut self.recent[number as usize % FILTER];
        if recent.0 != number {
            let Some(&index) = self.index.get(&number) else {
                self.note_unknown(address);
                return false;
            };
            *recent = (number, index);
        }
        let index = recent.1;
        let Some(mark) = self.marks.get_mut(index as usize) else {
            if index == NEITHER {
                self.repeated.add(address + STRONG, self.label);
            }
            return index == YOUNG;
        };
        if address < mark.page.start
            || address >= mark.page.end.min(mark.page.base + PAGE)
            || !address.is_multiple_of(8)
        {
            return false;
        }
        if self.remembers && number != self.visiting {
            self.targets.add(address);
        }
        let bit = ((address - mark.page.base) / 8) as usize;
        let (word, flag) = (bit / 64, 1 << (bit % 64));
        if mark.reached[word] & flag == 0 {
            mark.reached[word] |= flag;
            mark.open += 1;
            if !mark.pending {
                mark.pending = true;
                self.pending.push(index);
            }
            if self.label > 0 {
                mark.labels.get_or_insert_with(Labels::new).set(bit, self.label);
            }
        } else if self.label > 0
            && let Some(labels) = &mark.labels
            && labels.of(bit) > self.label
        {
            self.relabel(index, bit);
        } else {
            self.repeated.add(address + STRONG, self.label);
        }
        false
    }

    /// Takes every word outside the heap that points into it as a root.
    pub(crate) fn roots(&mut self, maps: &Maps<'_>) -> Result<(), Refusal> {
        roots(maps, &mut |words| self.reach(words))?;
        // What these words seem to point at may be anything.
        self.unknown.clear();
        Ok(())
    }

    /// Pointers at something that was no object.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }
}
