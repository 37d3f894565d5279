//! Walks a sample of pages, learns how objects of unpublished size are sized and which types the tables of collections have,
//! and proves it: objects must follow one another.

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::layout::sizes::Sizes;
use crate::layout::tables::Tables;
use crate::memory::pages::{Page, Space};
use crate::memory::peek::strong;
use crate::walk::walker::{Object, Visit, Walker};

/// Pages walked to learn sizes: 32 MiB, spread evenly.
const CALIBRATION_PAGES: usize = 128;
/// The share of bytes that must be explained as objects.
const REQUIRED_PERCENT: u32 = 95;

/// What was learned of one process: it stays true for as long as that lives.
#[derive(Debug, Clone)]
pub struct Learned {
    pub(crate) sizes: Sizes,
    pub(crate) tables: Tables,
}

/// Learns sizes and tables, or takes what is known, and proves that objects follow one another as they say.
pub(crate) fn calibrate(maps: &Maps<'_>, published: Sizes, known: Option<&Learned>) -> Result<Learned, Refusal> {
    let old: Vec<Page> = maps
        .pages
        .pages
        .iter()
        .filter(|p| p.space == Space::Old)
        .copied()
        .collect();
    let step = old.len().div_ceil(CALIBRATION_PAGES).max(1);
    let sample: Vec<&Page> = old.iter().step_by(step).collect();
    if let Some(known) = known.filter(|known| known.tables.complete()) {
        proven(maps, &known.sizes, &sample)?;
        return Ok(known.clone());
    }
    let mut learned = published.clone();
    let mut walker = Walker::new(maps, &published);
    let mut visit = Calibrate {
        maps,
        sizes: &published,
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
    let mut tables = visit.tables;
    learned.decide();
    // Hash tables are FixedArrays (src/objects/hash-table.h), also where too few were seen to tell.
    for instance_type in [tables.map, tables.set, tables.weak, tables.names]
        .into_iter()
        .flatten()
    {
        learned.presume(instance_type, maps.layout.types.fixed_array);
    }
    learned.set_tables(tables.map, tables.set);
    tables.free = learned.free_type();
    proven(maps, &learned, &sample)?;
    Ok(Learned { sizes: learned, tables })
}

/// Whether objects follow one another on these pages.
fn proven(maps: &Maps<'_>, sizes: &Sizes, pages: &[&Page]) -> Result<(), Refusal> {
    let mut walker = Walker::new(maps, sizes);
    for page in pages {
        walker.page(page, &mut Nothing)?;
    }
    match walker.coverage.percent() {
        percent if percent < REQUIRED_PERCENT => Err(Refusal::Unexplained { percent }),
        _ => Ok(()),
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
