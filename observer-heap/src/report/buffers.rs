//! Reads the pages of V8's heaps, produces where they stand and where the memory of ArrayBuffers does, that of dead ones too:
//! it is given back when a collection finds them.

use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Page, Pages, Space};
use crate::walk::counts::MOST_BUFFERS;
use crate::walk::heap::{Heap, Order};
use crate::walk::walker::{Object, Visit};

/// Bytes of a page of memory.
const MEMORY_PAGE: u64 = 4096;
/// Words of a JSArrayBuffer that are looked at.
const WORDS: usize = 16;

/// The memory of one ArrayBuffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Where it begins.
    pub address: u64,
    /// How much it has.
    pub bytes: u64,
    /// Whether something holds its ArrayBuffer.
    pub state: Holding,
}

/// Whether something holds an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// The reading counted it.
    Held,
    /// It is old, and the marks did not reach it.
    Dead,
    /// It is young, and no old object leads to it: a function at work may hold it, or nothing.
    Young,
}

/// What the objects of some pages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Objects that survived, several to a page.
    Old,
    /// An object that survived and has pages of its own.
    Large,
    /// The young generation.
    Young,
    /// Machine code.
    Code,
    /// Objects that never change.
    ReadOnly,
}

/// Memory of one of V8's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// What stands there.
    pub place: Place,
}

pub(crate) fn extents(pages: &Pages) -> Vec<Extent> {
    let extent = |page: &Page| Extent {
        start: page.base,
        end: page.end.next_multiple_of(MEMORY_PAGE).max(page.base + PAGE),
        place: match page.space {
            Space::Old if page.end > page.base + PAGE => Place::Large,
            Space::Old => Place::Old,
            Space::Young => Place::Young,
            Space::Code => Place::Code,
            Space::ReadOnly => Place::ReadOnly,
        },
    };
    pages.pages.iter().map(extent).collect()
}

/// All ArrayBuffers' memory; `held` is that of those that were counted.
pub(crate) fn buffers(heap: &Heap<'_>, held: &[(u64, u64)]) -> Result<Vec<Buffer>, Refusal> {
    let counted = held.iter().map(|&(address, bytes)| (address, (bytes, Holding::Held)));
    let mut found: ByAddress<(u64, Holding)> = counted.collect();
    let mut dead = Found {
        heap,
        memory: Vec::new(),
    };
    for isolate in heap.maps.pages.heaps() {
        heap.walk(isolate, Order::Ascending, &mut dead, &mut |_| {})?;
    }
    for (address, bytes) in std::mem::take(&mut dead.memory) {
        found.entry(address).or_insert((bytes, Holding::Dead));
    }
    dead.young()?;
    for (address, bytes) in dead.memory {
        found.entry(address).or_insert((bytes, Holding::Young));
    }
    let mut buffers: Vec<Buffer> = found
        .into_iter()
        .map(|(address, (bytes, state))| Buffer { address, bytes, state })
        .collect();
    buffers.sort_unstable_by_key(|buffer| buffer.address);
    Ok(buffers)
}

struct Found<'h, 'm> {
    heap: &'h Heap<'m>,
    memory: Vec<(u64, u64)>,
}

impl Found<'_, '_> {
    fn note(&mut self, word: impl Fn(u32) -> u64) {
        let buffer = &self.heap.maps.layout.buffer;
        let (address, bytes) = (word(buffer.backing_store), word(buffer.byte_length));
        if address != 0 && (1..1 << 47).contains(&bytes) && self.memory.len() < MOST_BUFFERS {
            self.memory.push((address, bytes));
        }
    }

    /// Young objects that no old one leads to, word by word: nothing leads to them, and between them there may be anything.
    fn young(&mut self) -> Result<(), Refusal> {
        let maps = &self.heap.maps;
        let mut window = vec![0; PAGE as usize];
        let young = maps.pages.pages.iter().filter(|page| page.space == Space::Young);
        for page in young {
            let length = page.area().min(PAGE) as usize;
            if maps.peek.memory.read(page.start, &mut window[..length])? == 0 {
                continue;
            }
            let words = window[..length].as_chunks::<8>().0;
            for (index, first) in words.iter().enumerate() {
                let Some(id) = maps.lookup(u64::from_le_bytes(*first))? else {
                    continue;
                };
                let is_buffer = maps
                    .info(id)
                    .is_some_and(|info| info.instance_type == maps.layout.types.js_array_buffer);
                if is_buffer {
                    let body = &words[index..words.len().min(index + WORDS)];
                    self.note(|offset| {
                        body.get(offset as usize / 8)
                            .map_or(0, |word| u64::from_le_bytes(*word))
                    });
                }
            }
        }
        Ok(())
    }
}

impl Visit for Found<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.info.instance_type == self.heap.maps.layout.types.js_array_buffer {
            self.note(|offset| object.word(offset));
        }
        Ok(())
    }
}
