//! Reads one heap of glibc's allocator, produces the chunks it consists of and which of them are free.
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
const PAGE: u64 = 4096;
const PREVIOUS_IN_USE: u64 = 1;
const FLAGS: u64 = 7;
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

/// The chunks of one heap.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    /// Addresses, ascending, each with its state in the lowest bits.
    words: Vec<u64>,
    pub(super) end: u64,
}

impl Chunks {
    /// Follows the sequence from `start` on; none unless it leads exactly to `end`, or, where the heap is known to be one,
    /// unless it begins well.
    pub(super) fn read(memory: &dyn Memory, start: u64, end: u64, known: bool) -> Result<Option<Self>, MemoryError> {
        let mut chunks = Self { words: Vec::new(), end };
        let mut window = vec![0; WINDOW];
        let mut at = start;
        let mut attempts = 0;
        while at < end && chunks.words.len() < MOST_CHUNKS {
            let length = (end - at).min(WINDOW as u64) as usize;
            memory.read(at, &mut window[..length])?;
            let before = chunks.words.len();
            let (reached, sound) = chunks.follow(at, window[..length].as_chunks::<8>().0, known);
            if sound {
                attempts = 0;
                at = reached;
                continue;
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                at = reached;
                break;
            }
            // What was read before the nonsense may be as wrong.
            chunks.words.truncate(before);
            if let Some(last) = chunks.words.last_mut() {
                *last &= !STATE;
            }
        }
        if at < end {
            if !known || chunks.words.is_empty() {
                return Ok(None);
            }
            chunks.words.push(at | State::Unknown.bits());
        }
        Ok(Some(chunks))
    }

    /// Follows the sequence through a window that begins with a chunk. Where the next one begins, and whether all made sense.
    fn follow(&mut self, from: u64, words: &[[u8; 8]], known: bool) -> (u64, bool) {
        let mut at = from;
        loop {
            let index = ((at - from) / 8) as usize;
            let Some(word) = words.get(index + 1).map(|word| u64::from_le_bytes(*word)) else {
                // A chunk that begins with the window fits into it, so something was followed.
                return (at, true);
            };
            let size = word & !FLAGS;
            if word & PREVIOUS_IN_USE == 0
                && let Some(last) = self.words.last_mut()
                && *last & STATE == State::InUse.bits()
            {
                *last |= State::Free.bits();
            }
            let outgrown = size == 0 && at + 16 == self.end;
            let left = self.end - at;
            // The heap has grown since its end was asked for, or shrunk.
            let grown = known && size > left && size - left < GROWN && (at + size).is_multiple_of(PAGE);
            let shrunk = known && word == 0 && at.is_multiple_of(PAGE) && !self.words.is_empty();
            let sound = size >= 16 && size.is_multiple_of(16) && size <= left;
            if !(sound || outgrown || grown || shrunk) {
                return (at, false);
            }
            let last = size == left || grown || shrunk;
            let state = if last { State::Top } else { State::InUse };
            self.words.push(at | state.bits());
            if last || outgrown {
                return (self.end, true);
            }
            if self.words.len() >= MOST_CHUNKS {
                return (at + size, true);
            }
            at += size;
        }
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
        let chunks = Chunks::read(&image, BASE, end, known).unwrap()?;
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
