//! Reads V8's heaps of one process, produces the parts of its memory that are theirs.

use std::{thread, time::Duration};

use observer_heap::{Buffer, Extent, Holding, Learned, Memory, Metadata, Place, Reader, Reading, Refusal, Summary};

use super::{
    mappings::{Kind, Mapping},
    part::Part,
    regions,
    residency::Residency,
};
use crate::source::memory;

/// From so much garbage on it is looked for twice, bytes, and how long apart.
const DOUBTED: u64 = 1 << 20;
const APART: Duration = Duration::from_millis(250);

/// Whether a process's V8 heap was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heap {
    /// It was.
    Read {
        /// Bytes of memory of objects with pages of their own, whatever they are.
        large: u64,
        /// Bytes of young objects that were found held.
        young_held: u64,
        /// What is held was told from what is dead.
        marked: bool,
    },
    /// It has none: not Node.js, or without what V8 publishes.
    #[default]
    None,
    /// It could not be, for this reason.
    Refused(String),
}

/// What was read of V8's heaps.
pub struct V8 {
    isolates: Vec<Summary>,
    pub(super) extents: Vec<Extent>,
    pub(super) buffers: Vec<Buffer>,
    marked: bool,
}

impl V8 {
    pub(super) fn read(live: &dyn Memory, pid: u32) -> Result<Self, Heap> {
        let refused = |refusal: Refusal| Heap::Refused(refusal.to_string());
        let Ok(metadata) = memory::metadata(pid) else {
            return Err(Heap::None);
        };
        let first = Self::once(live, &metadata, None).map_err(refused)?;
        if first.0.dead() < DOUBTED || first.0.dead() < first.0.held() / 10 {
            return Ok(first.0);
        }
        // A reading that a collection comes into misses what is held, and hardly finds more than that: garbage is believed
        // when a second one finds it.
        thread::sleep(APART);
        let second = Self::once(live, &metadata, Some(&first.1)).map_err(refused)?;
        let better = if second.0.dead() < first.0.dead() {
            second
        } else {
            first
        };
        Ok(better.0)
    }

    fn once(live: &dyn Memory, metadata: &Metadata, known: Option<&Learned>) -> Result<(Self, Learned), Refusal> {
        let mut reader = memory::open(live, metadata, known)?;
        let reading = reader.read(&mut |_, _| {})?;
        Ok((Self::of(&reader, &reading)?, reader.learned()))
    }

    /// What a reader's last reading told.
    pub fn of(reader: &Reader<'_>, reading: &Reading) -> Result<Self, Refusal> {
        Ok(Self {
            isolates: reading.isolates.clone(),
            buffers: reader.buffers()?,
            extents: reader.extents(),
            marked: reader.is_marked(),
        })
    }

    fn buffers(&self, state: Holding) -> u64 {
        let buffers = self.buffers.iter().filter(|buffer| buffer.state == state);
        buffers.map(|buffer| buffer.bytes).sum()
    }

    fn dead(&self) -> u64 {
        let objects: u64 = self.isolates.iter().filter_map(|s| s.dead_bytes).sum();
        objects + self.buffers(Holding::Dead)
    }

    fn held(&self) -> u64 {
        let objects: u64 = self.isolates.iter().map(|s| s.heap_bytes).sum();
        objects + self.buffers(Holding::Held)
    }

    fn place(&self, residency: &Residency, places: &[Place]) -> f64 {
        let extents = self.extents.iter().filter(|extent| places.contains(&extent.place));
        extents.map(|extent| residency.bytes(extent.start, extent.end)).sum()
    }

    /// Held, dead and free memory of the old pages, the young generation, code. `left` is what is nothing else's.
    pub(super) fn parts(&self, residency: &Residency, mappings: &[Mapping], left: &[(u64, u64)]) -> Vec<(Part, f64)> {
        let isolates = &self.isolates;
        let held: u64 = isolates
            .iter()
            .map(|s| s.heap_bytes.saturating_sub(s.young_live_bytes))
            .sum();
        let dead: u64 = isolates.iter().filter_map(|s| s.dead_bytes).sum();
        let old = self.place(residency, &[Place::Old, Place::Large]);
        let held = (held as f64).min(old);
        let dead = (dead as f64).min(old - held);
        let executable = mappings.iter().filter(|m| m.kind == Kind::Anonymous && m.executable);
        let code: f64 = executable.map(|m| m.pss as f64).sum();
        // Pages that V8 keeps for later stand where pages do, with nothing in them.
        let reserve = left
            .iter()
            .filter(|range| regions::is_of_pages(range.0, range.1))
            .map(|range| residency.bytes(range.0, range.1));
        let writable_code = self.extents.iter().filter(|extent| {
            extent.place == Place::Code
                && !mappings
                    .iter()
                    .any(|m| m.executable && m.start < extent.end && extent.start < m.end)
        });
        let writable_code: f64 = writable_code.map(|e| residency.bytes(e.start, e.end)).sum();
        vec![
            (Part::V8Live, held),
            (Part::V8Dead, dead),
            (Part::V8Free, old - held - dead + reserve.sum::<f64>()),
            (Part::V8Young, self.place(residency, &[Place::Young])),
            (
                Part::V8Code,
                code + writable_code + self.place(residency, &[Place::ReadOnly]),
            ),
        ]
    }

    pub(super) fn state(&self, residency: &Residency) -> Heap {
        Heap::Read {
            large: self.place(residency, &[Place::Large]).round() as u64,
            young_held: self.isolates.iter().map(|s| s.young_live_bytes).sum(),
            marked: self.marked,
        }
    }
}
