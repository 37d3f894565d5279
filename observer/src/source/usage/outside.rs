//! Reads a process beside a reading of its heap, produces the memory that it has outside V8's heaps: of malloc's blocks in use, free
//! inside the allocator, and what neither tells.

use std::collections::BTreeMap;

use observer_heap::{
    Memory, Reader, Reading, Refusal,
    native::{Malloc, Size, State, held_alone},
};

use super::{
    blocks,
    part::Part,
    process::{Allocator, WholeProcess},
    v8::V8,
};

/// Of the memory of V8's pages, one part in so many is what V8 may keep for them outside at most: notes of pointers between pages (4.4
/// of 256 KiB for each of two kinds) and the page's description.
const NOTES: u64 = 16;

/// Bytes of blocks in use to which objects lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByObjects {
    /// Only those that nothing is seen to hold, or that are young: what is given back when V8 collects garbage.
    pub garbage: u64,
    /// Only old ones that are held.
    pub held: u64,
}

/// Memory outside V8's heaps at one reading, without that of ArrayBuffers.
#[derive(Debug, Default)]
pub struct Outside {
    /// Which allocator it has.
    pub allocator: Allocator,
    /// Bytes of blocks in use, of glibc's allocator only: those that are told apart, present or not.
    pub in_use: u64,
    /// Free inside that allocator.
    pub free: u64,
    /// Of an allocator whose structures are not read, that code maps for itself, or stacks.
    pub other: u64,
    /// Memory of V8's pages.
    pub pages: u64,
    /// Whose blocks in use are; `None` where that is not told.
    pub by_objects: Option<ByObjects>,
    /// Blocks in use by the largest size of their class.
    pub sizes: BTreeMap<u64, Size>,
}

impl Outside {
    /// Reads what was there when the `whole` process was, beside a reading of its heap by this reader, through what that reads.
    pub fn read(
        whole: WholeProcess,
        (reader, reading): (&Reader<'_>, &Reading),
        memory: &dyn Memory,
    ) -> Result<Self, Refusal> {
        let v8 = V8::of(reader, reading)?;
        let buffers: Vec<u64> = v8.buffers.iter().map(|buffer| buffer.address).collect();
        let (process, malloc) = whole.with_blocks(Ok(v8), Some(memory))?;
        let bytes = |parts: &[Part]| parts.iter().filter_map(|part| process.parts.get(part)).sum();
        let sizes = sizes(&malloc, &buffers);
        Ok(Self {
            allocator: process.allocator,
            in_use: sizes.values().map(|size| size.bytes).sum(),
            free: bytes(&[Part::AllocatorFreePages, Part::AllocatorFreePieces]),
            other: bytes(&[Part::OtherAllocator, Part::OtherAnonymous, Part::Stacks]),
            pages: bytes(&[Part::V8Live, Part::V8Dead, Part::V8Free, Part::V8Young]),
            by_objects: by_objects((reader, memory), &malloc, &buffers)?,
            sizes,
        })
    }

    /// Bytes of blocks in use to which no object leads, without what V8 may keep for pages that it did not have at the `first` reading.
    pub fn led_to_by_none(&self, first: &Self) -> Option<u64> {
        let by = self.by_objects?;
        let notes = self.pages.saturating_sub(first.pages) / NOTES;
        Some(self.in_use.saturating_sub(by.garbage + by.held + notes))
    }
}

fn by_objects(
    (reader, memory): (&Reader<'_>, &dyn Memory),
    malloc: &Malloc,
    buffers: &[u64],
) -> Result<Option<ByObjects>, Refusal> {
    let Some(led) = reader.led_outside(&blocks::ranges(malloc))?.filter(|led| !led.cut) else {
        return Ok(None);
    };
    let held = held_alone(memory, malloc, [&led.unheld, &led.held], buffers)?;
    Ok(held.map(|[garbage, held]| ByObjects { garbage, held }))
}

fn sizes(malloc: &Malloc, buffers: &[u64]) -> BTreeMap<u64, Size> {
    let mut sizes = BTreeMap::new();
    let in_use = malloc.blocks().filter(|block| block.state == State::InUse);
    for block in in_use.filter(|block| buffers.binary_search(&block.address()).is_err()) {
        Size::count(&mut sizes, block.end - block.start);
    }
    sizes
}
