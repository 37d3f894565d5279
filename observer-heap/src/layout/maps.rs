//! Reads candidate words, tells which of them point at a map (V8's hidden class), and keeps what a map says about its
//! objects. The one check everything else rests on: a map is an object whose own map is a map of maps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::layout::offsets::Layout;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{Page, Pages, Space};
use crate::memory::peek::{Peek, strong};

/// More maps than this are not kept (a hostile heap; real ones have some ten thousand): 24 bytes each.
const MOST_MAPS: usize = 1 << 18;
/// Addresses remembered as not being maps.
const NEGATIVES: usize = 1 << 12;
/// How far into read-only pages the map of maps is searched, bytes: it is among the first objects.
const SEARCHED: u64 = 1 << 18;

/// The pages of every heap; a process without one is refused.
pub(crate) fn pages(peek: &Peek<'_>) -> Result<Pages, Refusal> {
    let regions = peek.memory.regions()?;
    let pages = Pages::find(peek, &regions)?;
    if pages.pages.is_empty() {
        return Err(Refusal::NoPages(regions.len()));
    }
    Ok(pages)
}

/// Index into [`Maps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MapId(pub(crate) u32);

/// What a map says about its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapInfo {
    pub(crate) address: u64,
    pub(crate) instance_type: u16,
    /// Size of every object, in words; 0 when each object has its own.
    pub(crate) words: u8,
}

/// The maps seen so far.
pub(crate) struct Maps<'m> {
    pub(crate) peek: Peek<'m>,
    pub(crate) layout: Layout,
    pub(crate) pages: Pages,
    metas: RefCell<Vec<u64>>,
    index: RefCell<ByAddress<MapId>>,
    infos: RefCell<Vec<MapInfo>>,
    negatives: RefCell<Vec<u64>>,
    overflowed: Cell<u64>,
}

impl<'m> Maps<'m> {
    /// Finds the map of maps: a word that is its own tagged address, with the instance type of maps.
    pub(crate) fn find(peek: Peek<'m>, layout: Layout, pages: Pages) -> Result<Self, Refusal> {
        let maps = Self {
            peek,
            layout,
            pages,
            metas: RefCell::default(),
            index: RefCell::default(),
            infos: RefCell::default(),
            negatives: RefCell::new(vec![0; NEGATIVES]),
            overflowed: Cell::new(0),
        };
        // Read-only pages first: there the map of maps is the first object.
        for wanted in [Space::ReadOnly, Space::Old] {
            for page in maps.pages.pages.iter().filter(|page| page.space == wanted) {
                let mut at = page.start;
                while at < page.end.min(page.start + SEARCHED) {
                    if maps.peek.word(at)? == at + 1 && maps.is_meta(at)? {
                        maps.metas.borrow_mut().push(at);
                        return Ok(maps);
                    }
                    at += 8;
                }
            }
        }
        Err(Refusal::NoMetaMap(maps.pages.pages.len()))
    }

    /// Finds the pages anew and forgets what was read of them: the process goes on meanwhile.
    pub(crate) fn refresh(&mut self) -> Result<(), Refusal> {
        self.pages = self.pages_now()?;
        // Maps move as other objects do (from V8 11 on), and others come to stand where one was looked for in vain.
        self.negatives.get_mut().fill(0);
        let mut index = ByAddress::default();
        for (address, id) in self.index.take() {
            if self.parse(address)?.is_some_and(|now| self.info(id) == Some(now)) {
                index.insert(address, id);
            }
        }
        *self.index.get_mut() = index;
        Ok(())
    }

    /// The pages as they are now; what was read of them is forgotten.
    pub(crate) fn pages_now(&self) -> Result<Pages, Refusal> {
        self.peek.forget();
        let regions = self.peek.memory.regions()?;
        let pages = self.pages.again(&self.peek, &regions)?;
        if pages.pages.is_empty() {
            return Err(Refusal::NoPages(regions.len()));
        }
        Ok(pages)
    }

    /// Those of these pages, by number, that are none of [`Maps::pages`] but are a known heap's now.
    pub(crate) fn appeared(&self, numbers: impl Iterator<Item = u64>) -> Result<Vec<Page>, Refusal> {
        let numbers: BTreeSet<u64> = numbers.collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        self.peek.forget();
        Ok(self.pages.appeared(&self.peek, &numbers)?)
    }

    fn is_meta(&self, address: u64) -> Result<bool, Refusal> {
        Ok(self.peek.word(address)? == address + 1
            && self.peek.u16(address + u64::from(self.layout.map.instance_type))? == self.layout.types.map)
    }

    /// The map a word points at, if it does.
    pub(crate) fn lookup(&self, word: u64) -> Result<Option<MapId>, Refusal> {
        let Some(address) = strong(word) else { return Ok(None) };
        if let Some(&id) = self.index.borrow().get(&address) {
            return Ok(Some(id));
        }
        let slot = (address >> 3) as usize % NEGATIVES;
        if address % 8 != 0 || self.negatives.borrow()[slot] == address {
            return Ok(None);
        }
        if let Some(id) = self.admit(address)? {
            return Ok(Some(id));
        }
        self.negatives.borrow_mut()[slot] = address;
        Ok(None)
    }

    fn admit(&self, address: u64) -> Result<Option<MapId>, Refusal> {
        let Some(info) = self.parse(address)? else {
            return Ok(None);
        };
        let mut infos = self.infos.borrow_mut();
        if infos.len() >= MOST_MAPS {
            self.overflowed.set(self.overflowed.get() + 1);
            return Ok(None);
        }
        let id = MapId(infos.len() as u32);
        infos.push(info);
        self.index.borrow_mut().insert(address, id);
        Ok(Some(id))
    }

    /// What the map at an address says, if there is one.
    fn parse(&self, address: u64) -> Result<Option<MapInfo>, Refusal> {
        let Some(page) = self.pages.containing(address) else {
            return Ok(None);
        };
        if !matches!(page.space, Space::ReadOnly | Space::Old) {
            return Ok(None);
        }
        let Some(meta) = strong(self.peek.word(address)?) else {
            return Ok(None);
        };
        if !self.metas.borrow().contains(&meta) {
            // Each context has its own map of maps (from V8 12 on).
            if self.pages.containing(meta).is_none() || !self.is_meta(meta)? {
                return Ok(None);
            }
            self.metas.borrow_mut().push(meta);
        }
        Ok(Some(MapInfo {
            address,
            instance_type: self.peek.u16(address + u64::from(self.layout.map.instance_type))?,
            words: self.peek.u8(address + u64::from(self.layout.map.size_in_words))?,
        }))
    }

    /// The map of the object at an address, if there is one.
    pub(crate) fn of(&self, address: u64) -> Result<Option<MapInfo>, Refusal> {
        if !address.is_multiple_of(8) || self.pages.containing(address).is_none() {
            return Ok(None);
        }
        Ok(self.lookup(self.peek.word(address)?)?.and_then(|id| self.info(id)))
    }

    /// Whether what the object at an address holds has names: variables of a scope, properties of an object.
    pub(crate) fn names_contents(&self, address: u64) -> bool {
        let is_scope = |map: MapInfo| self.layout.types.is_context(map.instance_type);
        self.has_properties(address) || self.of(address).ok().flatten().is_some_and(is_scope)
    }

    /// Whether an address is that of properties that have no room inside of their object.
    pub(crate) fn is_property_array(&self, address: u64) -> bool {
        let of = self.of(address).ok().flatten();
        of.is_some_and(|map| Some(map.instance_type) == self.layout.types.property_array)
    }

    /// Whether what the object at an address holds are properties.
    pub(crate) fn has_properties(&self, address: u64) -> bool {
        let types = &self.layout.types;
        self.of(address).ok().flatten().is_some_and(|map| {
            let kind = map.instance_type;
            kind == types.js_object || Some(kind) == types.property_array
        })
    }

    pub(crate) fn info(&self, id: MapId) -> Option<MapInfo> {
        self.infos.borrow().get(id.0 as usize).copied()
    }

    /// Whether objects of this type can be what holds another.
    pub(crate) fn holds(&self, instance_type: u16) -> bool {
        self.layout
            .holders
            .get(usize::from(instance_type))
            .copied()
            .unwrap_or(true)
    }

    /// Whether what objects of this type point at is not kept by that.
    pub(crate) fn is_weak(&self, instance_type: u16) -> bool {
        self.layout.weak_types.contains(&Some(instance_type))
    }

    /// The context around a context.
    pub(crate) fn previous(&self, context: u64) -> Result<Option<u64>, Refusal> {
        let Some(previous) = strong(self.peek.word(context + u64::from(self.layout.array_data) + 8)?) else {
            return Ok(None);
        };
        Ok(self
            .of(previous)?
            .filter(|map| self.layout.types.is_context(map.instance_type))
            .map(|_| previous))
    }

    pub(crate) fn len(&self) -> usize {
        self.infos.borrow().len()
    }
}
