//! Opens the heaps of a process: layout from metadata, pages from headers, sizes from calibration. Everything that can
//! be checked is checked here; what comes out can be walked.

use crate::graph::live::Live;
use crate::layout::maps::Maps;
use crate::layout::metadata::Metadata;
use crate::layout::offsets::Layout;
use crate::layout::refusal::Refusal;
use crate::layout::sizes::Sizes;
use crate::memory::pages::{Page, Pages, Space};
use crate::memory::peek::{Peek, strong};
use crate::memory::source::Memory;
use crate::names::scopes::Scopes;
use crate::walk::walker::{Object, Visit, Walker};

/// Pages walked to learn sizes: 32 MiB, spread evenly.
const CALIBRATION_PAGES: usize = 128;
/// Bytes spent on marks unless told otherwise: enough for a heap of 4 GiB.
const MARKING: usize = 128 << 20;
/// Times a heap is looked at before it is refused.
const ATTEMPTS: u32 = 5;
/// The share of bytes that must be explained as objects.
const REQUIRED_PERCENT: u32 = 95;

/// Instance types of hash tables, learned from the collections that point at them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tables {
    pub(crate) map: Option<u16>,
    pub(crate) set: Option<u16>,
    pub(crate) weak: Option<u16>,
    pub(crate) names: Option<u16>,
    /// Free blocks: the type whose objects give their whole size.
    pub(crate) free: Option<u16>,
}

impl Tables {
    /// Whether every kind of collection was seen.
    fn complete(&self) -> bool {
        [self.map, self.set, self.weak, self.names].iter().all(Option::is_some)
    }
}

/// The heaps of one process, ready to be walked.
pub struct Reader<'m> {
    pub(crate) maps: Maps<'m>,
    pub(crate) sizes: Sizes,
    pub(crate) tables: Tables,
    pub(crate) scopes: Scopes,
    /// The old objects that the last reading found held.
    pub(crate) live: Option<Live>,
    /// A collection came between in every attempt.
    pub(crate) disturbed: bool,
    pub(crate) marking: usize,
}

impl<'m> Reader<'m> {
    /// Finds and checks; refuses what it cannot prove. A heap that a collection was moving meanwhile is looked at again.
    pub fn open(memory: &'m dyn Memory, metadata: &Metadata) -> Result<Self, Refusal> {
        for _ in 1..ATTEMPTS {
            match Self::attempt(memory, metadata) {
                Err(refusal) if refusal.may_pass() => {}
                opened => return opened,
            }
        }
        Self::attempt(memory, metadata)
    }

    fn attempt(memory: &'m dyn Memory, metadata: &Metadata) -> Result<Self, Refusal> {
        let layout = Layout::published(metadata)?;
        let peek = Peek::new(memory);
        let pages = Pages::find(&peek)?;
        let sizes = Sizes::new(&layout);
        let maps = Maps::find(peek, layout, pages)?;
        let mut reader = Self {
            maps,
            sizes,
            tables: Tables::default(),
            scopes: Scopes::default(),
            live: None,
            disturbed: false,
            marking: MARKING,
        };
        reader.calibrate()?;
        Ok(reader)
    }

    /// Sets how many bytes may be spent on telling what is held from what is dead (3 % of the heap's size). A larger heap
    /// is counted with what died since its last major collection.
    #[must_use]
    pub const fn with_marking(mut self, bytes: usize) -> Self {
        self.marking = bytes;
        self
    }

    /// Pages of one isolate that are walked whole.
    pub(crate) fn old_pages(&self, heap: u64) -> impl Iterator<Item = &Page> {
        self.maps
            .pages
            .pages
            .iter()
            .filter(move |page| page.heap == heap && page.space == Space::Old)
    }

    fn calibrate(&mut self) -> Result<(), Refusal> {
        let old: Vec<Page> = self
            .maps
            .pages
            .pages
            .iter()
            .filter(|p| p.space == Space::Old)
            .copied()
            .collect();
        let step = old.len().div_ceil(CALIBRATION_PAGES).max(1);
        let sample: Vec<&Page> = old.iter().step_by(step).collect();
        let mut learned = self.sizes.clone();
        let mut walker = Walker::new(&self.maps, &self.sizes);
        let mut visit = Calibrate {
            maps: &self.maps,
            sizes: &self.sizes,
            learned: &mut learned,
            tables: Tables::default(),
        };
        for page in &sample {
            walker.page(page, &mut visit)?;
        }
        // Among thousands of pages of the program's objects the few that hold Maps and Sets at all are easily missed, and
        // with them the largest cache there is.
        for (index, page) in old.iter().enumerate() {
            if visit.tables.complete() {
                break;
            }
            if !index.is_multiple_of(step) {
                walker.page(page, &mut visit)?;
            }
        }
        let tables = visit.tables;
        learned.decide();
        // Hash tables are FixedArrays (src/objects/hash-table.h), also where too few were seen to tell.
        for instance_type in [tables.map, tables.set, tables.weak, tables.names]
            .into_iter()
            .flatten()
        {
            learned.presume(instance_type, self.maps.layout.types.fixed_array);
        }
        learned.set_tables(tables.map, tables.set);
        self.sizes = learned;
        self.tables = tables;
        self.tables.free = self.sizes.free_type();
        let mut walker = Walker::new(&self.maps, &self.sizes);
        for page in &sample {
            walker.page(page, &mut Nothing)?;
        }
        match walker.coverage.percent() {
            percent if percent < REQUIRED_PERCENT => Err(Refusal::Unexplained { percent }),
            _ => Ok(()),
        }
    }
}

struct Nothing;

impl Visit for Nothing {
    fn object(&mut self, _: &Object<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

struct Calibrate<'c, 'm> {
    maps: &'c Maps<'m>,
    sizes: &'c Sizes,
    learned: &'c mut Sizes,
    tables: Tables,
}

impl Calibrate<'_, '_> {
    /// The type of a dictionary-mode object's properties; those of the global object are another's.
    fn dictionary_of(&self, object: &Object<'_>) -> Result<Option<u16>, Refusal> {
        if object.info.instance_type != self.maps.layout.types.js_object {
            return Ok(None);
        }
        let Some(table) = strong(object.word(self.maps.layout.properties)) else {
            return Ok(None);
        };
        Ok(self
            .maps
            .of(table)?
            .filter(|map| map.words == 0)
            .map(|map| map.instance_type))
    }

    fn table_of(&self, object: &Object<'_>) -> Result<Option<u16>, Refusal> {
        let Some(table) = strong(object.word(self.maps.layout.fields)) else {
            return Ok(None);
        };
        Ok(self
            .maps
            .of(table)?
            .filter(|map| map.words == 0)
            .map(|map| map.instance_type))
    }
}

impl Visit for Calibrate<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        let types = &self.maps.layout.types;
        let instance_type = object.info.instance_type;
        if object.info.words == 0 && self.sizes.rule(instance_type).is_none() {
            if object.room > object.window.len() as u64 * 8 {
                // A large object: where it ends is not in view.
                return Ok(());
            }
            return self.learned.vote(instance_type, object.window, |size| {
                match object.window.get((size / 8) as usize) {
                    Some(word) => Ok(self.maps.lookup(u64::from_le_bytes(*word))?.is_some()),
                    None => Ok(size / 8 == object.window.len() as u64),
                }
            });
        }
        if types.is_js_receiver(instance_type)
            && self.tables.names.is_none()
            && self.maps.is_dictionary(object.info.address)?
        {
            self.tables.names = self.dictionary_of(object)?;
        }
        if instance_type == types.js_map && self.tables.map.is_none() {
            self.tables.map = self.table_of(object)?;
        } else if instance_type == types.js_set && self.tables.set.is_none() {
            self.tables.set = self.table_of(object)?;
        } else if Some(instance_type) == types.js_weak_map && self.tables.weak.is_none() {
            self.tables.weak = self.table_of(object)?;
        }
        Ok(())
    }
}
