//! Reads the memory that glibc's allocator may have, produces its arenas with their heaps, and the blocks that have a mapping
//! of their own.
//!
//! Where heaps begin, [`heaps`] tells. Large blocks are mapped one by one: a chunk's header with the flag `IS_MMAPPED` and a size
//! of whole pages.

use crate::memory::peek::Peek;
use crate::memory::source::{Memory, MemoryError, Region};
pub use crate::native::chunks::{Block, State};
use crate::native::chunks::{Chunks, FLAGS, PAGE, Span};
use crate::native::heaps;
use crate::native::lists::{self, MOST_LINKS};

/// The flag of a chunk with a mapping of its own; the other two are not set beside it.
const IS_MMAPPED: u64 = 2;
/// Where an arena keeps the address of its top chunk, and its bins behind that (2.27 to 2.41).
const TOP: u64 = 0x60;
const BINS: u64 = 0x70;
/// Bins that must be in order before a word is believed to be part of an arena.
const AGREEING: u64 = 16;

/// Where the allocator's memory may be.
#[derive(Debug, Clone, Copy)]
pub struct Areas<'a> {
    /// The data segment.
    pub brk: Option<Region>,
    /// Anonymous private memory that can be written and is not V8's, ascending.
    pub anonymous: &'a [Region],
    /// The C library's own data.
    pub library: &'a [Region],
}

#[derive(Debug)]
struct Heap {
    /// First byte, its description included.
    start: u64,
    end: u64,
    chunks: Chunks,
}

/// One arena.
#[derive(Debug, Default)]
pub struct Arena {
    /// Where it stands; 0 where that is not known.
    address: u64,
    main: bool,
    heaps: Vec<Heap>,
}

impl Arena {
    /// Whether it is the one whose heap is the data segment.
    pub const fn is_main(&self) -> bool {
        self.main
    }

    /// First and one past the last address of each heap of it.
    pub fn heaps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.heaps.iter().map(|heap| (heap.start, heap.end))
    }

    /// Its blocks, heap by heap.
    pub fn blocks(&self) -> impl Iterator<Item = Block> {
        self.heaps.iter().flat_map(|heap| heap.chunks.blocks())
    }

    fn size_of(&self, address: u64) -> Option<u64> {
        let at = self.heaps.partition_point(|heap| heap.start <= address);
        let block = self.heaps.get(at.checked_sub(1)?)?.chunks.at(address)?;
        Some(block.end - block.start)
    }

    /// Marks as cached what its lists say is free.
    fn cache(&mut self, free: &[u64]) {
        for &chunk in free {
            let at = self.heaps.partition_point(|heap| heap.start <= chunk);
            if let Some(heap) = at.checked_sub(1).and_then(|at| self.heaps.get_mut(at)) {
                heap.chunks.cache(chunk);
            }
        }
    }
}

/// The memory of glibc's allocator in one process.
#[derive(Debug, Default)]
pub struct Malloc {
    /// The main arena, if it has a heap, then those of threads.
    pub arenas: Vec<Arena>,
    /// Blocks with a mapping of their own.
    pub mapped: Vec<Block>,
}

impl Malloc {
    /// Finds all of it; what is not glibc's is left out.
    pub fn read(memory: &dyn Memory, areas: Areas<'_>) -> Result<Self, MemoryError> {
        let peek = Peek::new(memory);
        let mut malloc = Self::default();
        if let Some(brk) = areas.brk
            && let Some(chunks) = Chunks::read(
                memory,
                Span {
                    start: brk.start,
                    end: brk.end,
                    known: true,
                },
            )?
        {
            let address = main_arena(&peek, areas.library, &chunks, brk)?.unwrap_or(0);
            let heap = Heap {
                start: brk.start,
                end: brk.end,
                chunks,
            };
            malloc.arenas.push(Arena {
                address,
                main: true,
                heaps: vec![heap],
            });
        }
        for &region in areas.anonymous {
            malloc.region(memory, &peek, region)?;
        }
        for arena in &mut malloc.arenas {
            arena.heaps.sort_by_key(|heap| heap.start);
        }
        malloc.cached(&peek)?;
        Ok(malloc)
    }

    /// All its blocks, free ones too.
    pub fn blocks(&self) -> impl Iterator<Item = Block> {
        let arenas = self.arenas.iter().flat_map(Arena::blocks);
        arenas.chain(self.mapped.iter().copied())
    }

    /// Whether nothing of it was found.
    pub fn is_empty(&self) -> bool {
        self.arenas.is_empty() && self.mapped.is_empty()
    }

    /// Heaps and mapped blocks of one region.
    fn region(&mut self, memory: &dyn Memory, peek: &Peek<'_>, region: Region) -> Result<(), MemoryError> {
        let mut resident = Vec::new();
        let mut batch = 0..0;
        let mut at = region.start.next_multiple_of(PAGE);
        while at + 32 <= region.end {
            if !batch.contains(&at) {
                batch = at..region.end.min(at + (1024 * PAGE));
                resident.clear();
                resident.resize(((batch.end - at) / PAGE) as usize + 1, false);
                memory.resident(at, &mut resident)?;
            }
            let present = resident.get(((at - batch.start) / PAGE) as usize).copied();
            at = match present {
                Some(true) => match self.heap(memory, peek, at)? {
                    Some(end) => end,
                    None => self.mapped(memory, at, region.end)?.unwrap_or(at + PAGE),
                },
                _ => at + PAGE,
            };
        }
        Ok(())
    }

    /// A thread's heap that begins here; where it ends, which may be behind what was known of it: it grows.
    fn heap(&mut self, memory: &dyn Memory, peek: &Peek<'_>, start: u64) -> Result<Option<u64>, MemoryError> {
        let Some(found) = heaps::thread(peek, start)? else {
            return Ok(None);
        };
        let Some(chunks) = Chunks::read(memory, found.chunks)? else {
            return Ok(None);
        };
        let end = found.chunks.end;
        let heap = Heap { start, end, chunks };
        match self.arenas.iter_mut().find(|arena| arena.address == found.arena) {
            Some(arena) => arena.heaps.push(heap),
            None => self.arenas.push(Arena {
                address: found.arena,
                main: false,
                heaps: vec![heap],
            }),
        }
        Ok(Some(end))
    }

    /// A block with a mapping of its own that begins here; where it ends.
    fn mapped(&mut self, memory: &dyn Memory, start: u64, most: u64) -> Result<Option<u64>, MemoryError> {
        let mut header = [0; 16];
        memory.read(start, &mut header)?;
        let [before, word] = [0, 8].map(|at| {
            let bytes: [u8; 8] = std::array::from_fn(|index| header[at + index]);
            u64::from_le_bytes(bytes)
        });
        let size = word & !FLAGS;
        let is_one = before == 0
            && word & FLAGS == IS_MMAPPED
            && size >= PAGE
            && size.is_multiple_of(PAGE)
            && size <= most - start;
        if is_one {
            self.mapped.push(Block {
                start,
                end: start + size,
                state: State::InUse,
            });
        }
        Ok(is_one.then(|| start + size))
    }

    /// Tells what threads cache and what stands in fast bins.
    fn cached(&mut self, peek: &Peek<'_>) -> Result<(), MemoryError> {
        let size_of = |address: u64| self.arenas.iter().find_map(|arena| arena.size_of(address));
        let mut free = Vec::new();
        // Lists that lead in circles, or many that share links, end here.
        let left = |free: &Vec<u64>| MOST_LINKS.saturating_sub(free.len());
        for arena in &self.arenas {
            if arena.address != 0 {
                free.extend(lists::fast(peek, arena.address, left(&free), &size_of)?);
            }
            for block in arena.blocks() {
                let size = block.end - block.start;
                if block.state == State::InUse && lists::may_be_cache(size) {
                    free.extend(lists::cached(peek, (block.start, size), left(&free), &size_of)?);
                }
            }
        }
        for arena in &mut self.arenas {
            arena.cache(&free);
        }
        Ok(())
    }
}

/// The main arena: a word of the C library's data that holds the address of the main heap's last chunk, with bins behind it.
fn main_arena(peek: &Peek<'_>, library: &[Region], chunks: &Chunks, heap: Region) -> Result<Option<u64>, MemoryError> {
    let Some(top) = chunks.top() else { return Ok(None) };
    for region in library {
        let mut at = region.start + TOP;
        while at + BINS < region.end {
            if peek.word(at)? == top && bins_agree(peek, at, heap)? {
                return Ok(Some(at - TOP));
            }
            at += 8;
        }
    }
    Ok(None)
}

/// Each bin is a list through two words, which hold the bin itself where it is empty and chunks of the heap where not.
fn bins_agree(peek: &Peek<'_>, top: u64, heap: Region) -> Result<bool, MemoryError> {
    for bin in 0..AGREEING {
        let place = top - TOP + BINS + 16 * bin;
        let links = [peek.word(place)?, peek.word(place + 8)?];
        let in_order = links
            .iter()
            .all(|&link| link == place - 16 || (heap.start..heap.end).contains(&link));
        if !in_order {
            return Ok(false);
        }
    }
    Ok(true)
}
