//! Reads one heap of glibc's allocator, produces the chunks it consists of and which of them are free: the one place that follows
//! chunks, for those who count them and for those who read what stands in them.
//!
//! A heap is a sequence of chunks (malloc/malloc.c, `struct malloc_chunk`, the same from 2.28 to 2.41): two words of header,
//! the second the size with three flags, the lowest of which says that the chunk before is in use. The last one (`top`)
//! ends where the heap does and is free; a thread's heap that was outgrown ends with a chunk of no size instead
//! (`sysmalloc`). The process goes on meanwhile: where a header makes no sense, the piece is read again.

use crate::memory::source::{Memory, MemoryError};

/// Bytes read at once.
const WINDOW: usize = 1 << 18;
/// Times a piece whose headers make no sense is read again.
const ATTEMPTS: u32 = 8;
/// Chunks of one heap; 8 bytes each. What stands behind is not told apart.
const MOST_CHUNKS: usize = 1 << 22;
/// A heap does not grow by more while it is read, bytes.
const GROWN: u64 = 64 << 20;
/// Heaps end where pages do.
pub(super) const PAGE: u64 = 4096;
const PREVIOUS_IN_USE: u64 = 1;
pub(super) const FLAGS: u64 = 7;
/// Bits of an address of a chunk, which is a multiple of 16, that hold its state here.
const STATE: u64 = 15;

/// What a block of the allocator's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Handed out.
    InUse,
    /// Free, and kept for the next request of its size: in a thread's cache or a fast bin.
    Cached,
    /// Free, in a bin.
    Free,
    /// The free end of a heap.
    Top,
    /// Not told apart: the heap was changing, or has too many blocks.
    Unknown,
}

impl State {
    const ALL: [Self; 5] = [Self::InUse, Self::Cached, Self::Free, Self::Top, Self::Unknown];

    const fn bits(self) -> u64 {
        self as u64
    }

    /// Of the chunk before the one with this word in its header.
    const fn before(header: u64) -> Self {
        if header & PREVIOUS_IN_USE == 0 {
            Self::Free
        } else {
            Self::InUse
        }
    }

    const fn of(word: u64) -> Self {
        Self::ALL[(word & STATE) as usize % Self::ALL.len()]
    }
}

/// One chunk, its header of 16 bytes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Where its header begins.
    pub start: u64,
    /// Where the next begins.
    pub end: u64,
    /// What it is.
    pub state: State,
}

impl Block {
    /// The first address that was handed out.
    pub const fn address(&self) -> u64 {
        self.start + 16
    }

    /// Bytes that may be used of it: a block in use reaches into the header of the next.
    pub const fn usable(&self) -> u64 {
        self.end - self.start - 8
    }
}

/// How a walk over a heap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At the heap's end.
    Reached,
    /// Here: what stands from here on is not told apart.
    Lost(u64),
}

/// What a copy of a piece of a heap told.
enum Step {
    /// The next chunk begins here, and was not copied whole; its size, where its header was.
    On(u64, Option<u64>),
    End,
    /// A header that makes no sense stands here.
    Nonsense(u64),
}

/// The chunks of a heap, from `start` to `end`, of which the first may be missing: `known` heaps may have grown or shrunk since
/// their end was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) known: bool,
}

impl Span {
    /// Follows the chunks, copy by copy. Each is handed on with the words of the copy it was found in, from its header on: at
    /// least as far as the next one's header, from which its state is, unless it is larger than a copy. Ends when `visit` says
    /// false.
    pub(super) fn walk(
        self,
        memory: &dyn Memory,
        visit: &mut dyn FnMut(Block, &[[u8; 8]]) -> bool,
    ) -> Result<End, MemoryError> {
        let mut window = vec![0; WINDOW];
        let mut found = Vec::new();
        let mut at = self.start;
        let mut attempts = 0;
        while at < self.end {
            let length = (self.end - at).min(WINDOW as u64) as usize;
            memory.read(at, &mut window[..length])?;
            let words = window[..length].as_chunks::<8>().0;
            found.clear();
            let mut step = self.follow(at, words, &mut found);
            attempts += 1;
            // What was read before the nonsense may be as wrong.
            if matches!(step, Step::Nonsense(_)) && self.known && attempts < ATTEMPTS {
                continue;
            }
            if let Step::On(here, Some(size)) = step
                && here == at
            {
                // Larger than a copy.
                let mut next = [0; 16];
                memory.read(at + size, &mut next)?;
                let state = State::before(u64::from(next[8]));
                let end = at + size;
                found.push(Block { start: at, end, state });
                step = Step::On(end, None);
            }
            for &block in &found {
                let from = ((block.start - at) / 8) as usize;
                if !visit(block, words.get(from..).unwrap_or_default()) {
                    return Ok(End::Lost(block.end));
                }
            }
            attempts = 0;
            at = match step {
                Step::End => return Ok(End::Reached),
                Step::Nonsense(here) => return Ok(End::Lost(here)),
                // A header that was not copied to its end: there is none.
                Step::On(here, _) if here == at => return Ok(End::Lost(here)),
                Step::On(here, _) => here,
            };
        }
        Ok(End::Reached)
    }

    /// Follows the chunks through a copy that begins with one.
    fn follow(self, from: u64, words: &[[u8; 8]], found: &mut Vec<Block>) -> Step {
        let mut at = from;
        loop {
            let index = ((at - from) / 8) as usize;
            let header = |index: usize| words.get(index + 1).map(|word| u64::from_le_bytes(*word));
            let Some(word) = header(index) else {
                return Step::On(at, None);
            };
            let size = word & !FLAGS;
            let left = self.end - at;
            let outgrown = size == 0 && left == 16;
            // The heap has grown since its end was asked for, or shrunk.
            let grown = self.known && size > left && size - left < GROWN && (at + size).is_multiple_of(PAGE);
            let shrunk = self.known && word == 0 && at.is_multiple_of(PAGE) && at > self.start;
            if outgrown || grown || shrunk || size == left && is_size(size) {
                let state = if outgrown { State::InUse } else { State::Top };
                let (start, end) = (at, self.end);
                found.push(Block { start, end, state });
                return Step::End;
            }
            if !is_size(size) || size > left {
                return Step::Nonsense(at);
            }
            let Some(next) = header(index + (size / 8) as usize) else {
                return Step::On(at, Some(size));
            };
            found.push(Block {
                start: at,
                end: at + size,
                state: State::before(next),
            });
            at += size;
        }
    }
}

/// Whether chunks have this size, bytes.
pub(super) const fn is_size(size: u64) -> bool {
    size >= 16 && size.is_multiple_of(16)
}

/// The chunks of one heap.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    /// Addresses, ascending, each with its state in the lowest bits.
    words: Vec<u64>,
    pub(super) end: u64,
}

impl Chunks {
    /// Those of a heap; none unless they lead exactly to its end, or, where it is known to be one, unless it begins well.
    pub(super) fn read(memory: &dyn Memory, span: Span) -> Result<Option<Self>, MemoryError> {
        let mut words = Vec::new();
        let end = span.walk(memory, &mut |block, _| {
            words.push(block.start | block.state.bits());
            words.len() < MOST_CHUNKS
        })?;
        if let End::Lost(at) = end
            && at < span.end
        {
            if !span.known || words.is_empty() {
                return Ok(None);
            }
            words.push(at | State::Unknown.bits());
        }
        Ok(Some(Self { words, end: span.end }))
    }

    /// The chunks in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> {
        let ends = self.words.iter().skip(1).map(|word| word & !STATE).chain([self.end]);
        self.words.iter().zip(ends).map(|(word, end)| Block {
            start: word & !STATE,
            end,
            state: State::of(*word),
        })
    }

    /// The chunk that begins at this address.
    pub(super) fn at(&self, address: u64) -> Option<Block> {
        let index = self.index(address)?;
        Some(Block {
            start: address,
            end: self.words.get(index + 1).map_or(self.end, |word| word & !STATE),
            state: State::of(self.words[index]),
        })
    }

    /// Notes that a chunk is free although the next one says that it is in use.
    pub(super) fn cache(&mut self, address: u64) {
        if let Some(index) = self.index(address) {
            self.words[index] = address | State::Cached.bits();
        }
    }

    fn index(&self, address: u64) -> Option<usize> {
        self.words.binary_search_by_key(&address, |word| word & !STATE).ok()
    }

    /// Where the last chunk begins.
    pub(super) fn top(&self) -> Option<u64> {
        self.words.last().map(|word| word & !STATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::source::{Image, Region};

    const BASE: u64 = 0x10_0000;

    #[test]
    fn a_known_heap_may_have_grown_or_shrunk_meanwhile() {
        let words = [
            chunk(32, true),
            chunk(96, true),
            vec![0, 0x1000 - 128 + 0x3000 + 1, 0, 0],
        ]
        .concat();
        let grown = [(0, 32, State::InUse), (32, 96, State::InUse), (128, 32, State::Top)];
        assert_eq!(read(&words, true).unwrap(), grown);
        assert_eq!(read(&words, false), None);
        let words = [chunk(32, true), chunk(0x1000 - 32, true), vec![0; 64]].concat();
        let shrunk = [
            (0, 32, State::InUse),
            (32, 0x1000 - 32, State::Free),
            (0x1000, 512, State::Top),
        ];
        assert_eq!(read(&words, true).unwrap(), shrunk);
    }

    fn read(words: &[u64], known: bool) -> Option<Vec<(u64, u64, State)>> {
        let end = BASE + words.len() as u64 * 8;
        let region = Region {
            start: BASE,
            end,
            executable: false,
        };
        let mut image = Image::default();
        image.insert(region, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        let start = BASE;
        let chunks = Chunks::read(&image, Span { start, end, known }).unwrap()?;
        let blocks = chunks.blocks();
        Some(
            blocks
                .map(|block| (block.start - BASE, block.end - block.start, block.state))
                .collect(),
        )
    }

    /// A chunk of so many bytes; its flag speaks of the one before.
    fn chunk(bytes: u64, previous_in_use: bool) -> Vec<u64> {
        let mut words = vec![0; bytes as usize / 8];
        words[1] = bytes | u64::from(previous_in_use);
        words
    }

    #[test]
    fn a_chunk_is_free_where_the_next_says_so_and_the_last_is_the_top() {
        let words = [chunk(32, true), chunk(96, true), chunk(48, false), chunk(64, true)].concat();
        let expected = [
            (0, 32, State::InUse),
            (32, 96, State::Free),
            (128, 48, State::InUse),
            (176, 64, State::Top),
        ];
        assert_eq!(read(&words, false).unwrap(), expected);
    }

    #[test]
    fn an_outgrown_heap_ends_with_a_chunk_of_no_size() {
        let words = [chunk(64, true), chunk(96, true), chunk(16, false), vec![0, 1]].concat();
        let expected = [
            (0, 64, State::InUse),
            (64, 96, State::Free),
            (160, 16, State::InUse),
            (176, 16, State::InUse),
        ];
        assert_eq!(read(&words, false).unwrap(), expected);
    }

    #[test]
    fn windows_are_joined_and_large_chunks_cross_them() {
        let mut chunks = vec![(16 * 1024 + 32, State::InUse); 40];
        chunks.push((3 << 20, State::Free));
        chunks.push((64, State::InUse));
        chunks.push((4096, State::Top));
        let mut words = Vec::new();
        let mut before = State::InUse;
        for &(size, state) in &chunks {
            words.extend(chunk(size, before != State::Free));
            before = state;
        }
        let found: Vec<(u64, State)> = read(&words, false)
            .unwrap()
            .into_iter()
            .map(|(_, size, state)| (size, state))
            .collect();
        assert_eq!(found, chunks);
    }

    #[test]
    fn nonsense_is_no_heap_and_the_rest_of_a_known_one_is_not_told_apart() {
        let words = [chunk(32, true), chunk(96, true), vec![0, u64::MAX, 0, 0]].concat();
        assert_eq!(read(&words, false), None);
        let expected = [(0, 32, State::InUse), (32, 96, State::InUse), (128, 32, State::Unknown)];
        assert_eq!(read(&words, true).unwrap(), expected);
        assert_eq!(read(&[0; 64], true), None);
    }
}
