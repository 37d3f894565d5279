//! Reads the blocks of glibc's allocator and where ArrayBuffers have their memory, produces what is in use by which of the two,
//! and what is free.

use observer_heap::{
    Buffer, Holding,
    native::{Arena, Block, Malloc, State},
};

use super::residency::Residency;

/// Bytes of a free block that `malloc_trim` keeps at its beginning (`struct malloc_chunk`).
const KEPT: u64 = 48;
/// A block is at most so much larger than what was asked for: a mapped one by a page, others by the step of sizes.
const ROUNDED: u64 = 32;

/// What an arena of glibc's allocator has, bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ArenaUsage {
    /// It is the main arena; the others are threads'.
    pub main: bool,
    /// In blocks that are handed out.
    pub in_use: u64,
    /// In whole pages that are free.
    pub free_pages: u64,
    /// In free blocks, or rests of them, that share a page with others.
    pub free_pieces: u64,
}

/// Bytes of memory, by use.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) native: f64,
    pub(super) buffers: f64,
    pub(super) dead_buffers: f64,
    pub(super) young_buffers: f64,
    pub(super) free_pages: f64,
    pub(super) free_pieces: f64,
    pub(super) mapped: f64,
    pub(super) arenas: Vec<ArenaUsage>,
}

/// First and one past the last address of everything that is the allocator's, ascending.
pub(super) fn ranges(malloc: &Malloc) -> Vec<(u64, u64)> {
    let heaps = malloc.arenas.iter().flat_map(Arena::heaps);
    let mut ranges: Vec<(u64, u64)> = heaps
        .chain(malloc.mapped.iter().map(|block| (block.start, block.end)))
        .collect();
    ranges.sort_unstable();
    ranges
}

/// Weighs every block; buffers are ascending.
pub(super) fn used(malloc: &Malloc, buffers: &[Buffer], residency: &Residency) -> Used {
    let page = rustix::param::page_size() as u64;
    let mut used = Used::default();
    for arena in &malloc.arenas {
        let (mut in_use, mut free_pages, mut free_pieces) = (0.0, 0.0, 0.0);
        for block in arena.blocks() {
            let bytes = residency.bytes(block.start, block.end);
            match block.state {
                State::InUse | State::Unknown => {
                    in_use += bytes;
                    used.in_use(buffers, block, bytes, ROUNDED);
                }
                State::Cached | State::Free | State::Top => {
                    let from = (block.start + KEPT).next_multiple_of(page);
                    let to = block.end & !(page - 1);
                    let whole = if from < to { residency.bytes(from, to) } else { 0.0 };
                    free_pages += whole;
                    free_pieces += bytes - whole;
                }
            }
        }
        // A thread's heap begins with its description.
        let all: f64 = arena.heaps().map(|(start, end)| residency.bytes(start, end)).sum();
        let described = (all - in_use - free_pages - free_pieces).max(0.0);
        used.native += described;
        used.free_pages += free_pages;
        used.free_pieces += free_pieces;
        used.arenas.push(ArenaUsage {
            main: arena.is_main(),
            in_use: (in_use + described).round() as u64,
            free_pages: free_pages.round() as u64,
            free_pieces: free_pieces.round() as u64,
        });
    }
    for &block in &malloc.mapped {
        let bytes = residency.bytes(block.start, block.end);
        used.mapped += bytes;
        used.in_use(buffers, block, bytes, page + ROUNDED);
    }
    used
}

impl Used {
    fn in_use(&mut self, buffers: &[Buffer], block: Block, bytes: f64, rounded: u64) {
        let found = buffers.binary_search_by_key(&block.address(), |buffer| buffer.address);
        let fits = |buffer: &Buffer| buffer.bytes <= block.usable() && block.usable() - buffer.bytes <= rounded;
        match found.ok().and_then(|index| buffers.get(index)) {
            // A dead object's block may be another's by now: then its size is another, as a rule.
            Some(buffer) if buffer.state == Holding::Held || fits(buffer) => self.buffer(buffer.state, bytes),
            _ => self.native += bytes,
        }
    }

    fn buffer(&mut self, state: Holding, bytes: f64) {
        match state {
            Holding::Held => self.buffers += bytes,
            Holding::Dead => self.dead_buffers += bytes,
            Holding::Young => self.young_buffers += bytes,
        }
    }
}

/// Adds the memory of ArrayBuffers in ranges that are not the allocator's: of WebAssembly, and of shared ones.
pub(super) fn elsewhere(used: &mut Used, ranges: &[(u64, u64)], buffers: &[Buffer], residency: &Residency) {
    let mut counted = 0;
    for buffer in buffers {
        let at = ranges.partition_point(|range| range.1 <= buffer.address);
        let Some(range) = ranges.get(at).filter(|range| range.0 <= buffer.address) else {
            continue;
        };
        let (start, end) = (buffer.address.max(counted), range.1.min(buffer.address + buffer.bytes));
        if start < end {
            counted = end;
            used.buffer(buffer.state, residency.bytes(start, end));
        }
    }
}
