//! Reads the C library's heaps, produces the blocks of them that are free: what stands in them is history, and no root.
//! Most of what V8's collector leaves behind, lists of objects it moved, stands there.
//!
//! glibc's heaps are sequences of chunks (malloc/malloc.c, `struct malloc_chunk`): two words of header, the second the
//! size with three flags; the lowest says that the chunk before is in use. The last chunk (`top`) ends where the heap
//! does. The main heap begins with a chunk; a thread's stands at a multiple of 64 MiB and begins with its description
//! (malloc/arena.c, `struct _heap_info`). Free blocks that a thread caches (`tcache`) count as in use; they are told by the
//! key that stands in their second word (`struct tcache_entry`). Whatever does not follow these rules to its end is not
//! taken for such a heap, and all of it may hold roots.

use crate::memory::peek::Peek;
use crate::memory::source::{MemoryError, Region};

/// Chunks followed; a heap of some GB has fewer.
const MOST_CHUNKS: usize = 1 << 22;
/// Free blocks smaller than this hold a few words at most.
const SMALLEST: u64 = 64;
/// Free blocks remembered, 16 bytes each.
const MOST_FREE: usize = 1 << 16;
const PREVIOUS_IN_USE: u64 = 1;
const FLAGS: u64 = 7;
/// Where a thread's heap may stand (`HEAP_MAX_SIZE` on 64-bit).
const ARENA: u64 = 64 << 20;
/// A thread's heap begins with 4 or 6 words of description and, in its first piece, 2,200 bytes of arena; the first chunk
/// follows, aligned.
const FIRST_CHUNK: std::ops::Range<u64> = 0x8a0..0x900;
/// The first chunk of the main heap is the main thread's cache: 64 counts of two bytes, and 64 lists (glibc 2.30 to 2.41).
const CACHE_CHUNK: u64 = 0x290;
const CACHED_SIZES: u64 = 64;
/// Lists that must agree on the key before it is believed.
const AGREEING: usize = 2;

/// The heaps of one process, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct CHeaps {
    /// What tells blocks that threads cache, once it is known.
    key: Option<u64>,
}

impl CHeaps {
    /// Free blocks of a region in ascending order; none when it holds no heap of glibc's. The main heap, the lowest,
    /// must come first.
    pub(crate) fn free_blocks(&mut self, peek: &Peek<'_>, region: Region) -> Result<Vec<(u64, u64)>, MemoryError> {
        if self.key.is_none() {
            self.key = cache_key(peek, region)?;
        }
        if let Some(free) = self.chunks(peek, region.start, region.end)? {
            return Ok(free);
        }
        // A mapping before it may stand wall to wall with a thread's heap.
        let mut free = Vec::new();
        let mut start = region.start.next_multiple_of(ARENA);
        while start < region.end {
            free.extend(self.arena(peek, start, region.end)?);
            start += ARENA;
        }
        Ok(free)
    }

    /// Free blocks of the thread's heap that may begin at `start`.
    fn arena(&self, peek: &Peek<'_>, start: u64, most: u64) -> Result<Vec<(u64, u64)>, MemoryError> {
        let (arena, before, size) = (peek.word(start)?, peek.word(start + 8)?, peek.word(start + 16)?);
        let first_piece = before == 0 && (start + 32..=start + 64).contains(&arena);
        if !first_piece || size > ARENA || start + size > most {
            return Ok(Vec::new());
        }
        for offset in FIRST_CHUNK.step_by(16) {
            if let Some(free) = self.chunks(peek, start + offset, start + size)? {
                return Ok(free);
            }
        }
        Ok(Vec::new())
    }

    /// Free blocks of a sequence of chunks that leads from `start` exactly to `end`.
    fn chunks(&self, peek: &Peek<'_>, start: u64, end: u64) -> Result<Option<Vec<(u64, u64)>>, MemoryError> {
        let mut free = Vec::new();
        let mut chunk = start;
        let mut before: Option<(u64, bool)> = None;
        for _ in 0..MOST_CHUNKS {
            let word = peek.word(chunk + 8)?;
            let size = word & !FLAGS;
            if size < 16 || !size.is_multiple_of(16) || size > end.saturating_sub(chunk) {
                return Ok(None);
            }
            if let Some((before, cached)) = before
                && (cached || word & PREVIOUS_IN_USE == 0)
                && chunk - before >= SMALLEST
                && free.len() < MOST_FREE
            {
                free.push((before + 16, chunk));
            }
            let cached = size >= SMALLEST && self.key.is_some() && Some(peek.word(chunk + 24)?) == self.key;
            before = Some((chunk, cached));
            chunk += size;
            if chunk == end {
                // The last one was `top`, which is free.
                free.extend(before.map(|(top, _)| (top + 16, chunk)));
                return Ok(Some(free));
            }
        }
        Ok(None)
    }
}

/// The key that stands in every block a thread caches: all that the main thread's lists begin with must agree on it.
fn cache_key(peek: &Peek<'_>, region: Region) -> Result<Option<u64>, MemoryError> {
    if peek.word(region.start + 8)? & !FLAGS != CACHE_CHUNK {
        return Ok(None);
    }
    let counts = region.start + 16;
    let lists = counts + 2 * CACHED_SIZES;
    let mut key = None;
    let mut agreeing = 0;
    for size in 0..CACHED_SIZES {
        let (count, block) = (peek.u16(counts + 2 * size)?, peek.word(lists + 8 * size)?);
        if count == 0 {
            continue;
        }
        if block == 0 || !block.is_multiple_of(16) {
            return Ok(None);
        }
        let told = peek.word(block + 8)?;
        if told == 0 || key.is_some_and(|key| key != told) {
            return Ok(None);
        }
        key = Some(told);
        agreeing += 1;
    }
    Ok(key.filter(|_| agreeing >= AGREEING))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::source::Image;

    const BASE: u64 = 0x1000;
    const KEY: u64 = 0xd0db_1116_05c4_6a06;

    fn free(start: u64, words: &[u64]) -> Vec<(u64, u64)> {
        let region = Region {
            start,
            end: start + words.len() as u64 * 8,
            executable: false,
        };
        let mut image = Image::default();
        image.insert(region, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        CHeaps::default().free_blocks(&Peek::new(&image), region).unwrap()
    }

    #[track_caller]
    fn check(words: &[u64], expected: &[(u64, u64)]) {
        assert_eq!(free(BASE, words), expected);
    }

    /// A chunk of so many bytes; its flag speaks of the one before.
    fn chunk(bytes: u64, previous_in_use: bool) -> Vec<u64> {
        let mut words = vec![0; bytes as usize / 8];
        words[1] = bytes | u64::from(previous_in_use);
        words
    }

    /// A main heap: the main thread's cache with two lists, their blocks, a block in use, `top`.
    fn cached(keys: [u64; 2]) -> Vec<u64> {
        let mut cache = chunk(CACHE_CHUNK, true);
        cache[2] = 1 << 16 | 1 << 32;
        let lists = 2 + 2 * CACHED_SIZES as usize / 8;
        cache[lists + 1] = BASE + CACHE_CHUNK + 16;
        cache[lists + 2] = BASE + CACHE_CHUNK + 80 + 16;
        let [first, second] = keys.map(|key| {
            let mut block = chunk(80, true);
            block[3] = key;
            block
        });
        [cache, first, second, chunk(96, true), chunk(64, true)].concat()
    }

    #[test]
    fn free_chunks_and_the_top_are_found() {
        let words = [chunk(32, true), chunk(96, true), chunk(48, false), chunk(64, true)].concat();
        check(&words, &[(0x1030, 0x1080), (0x10c0, 0x10f0)]);
    }

    #[test]
    fn blocks_that_a_thread_caches_are_free() {
        let top = (0x13a0, 0x13d0);
        check(&cached([KEY, KEY]), &[(0x12a0, 0x12e0), (0x12f0, 0x1330), top]);
        check(&cached([KEY, KEY + 1]), &[top]);
    }

    #[test]
    fn a_threads_heap_stands_behind_its_description() {
        let mut description = vec![0; 0x8b0 / 8];
        description[0] = ARENA + 32;
        let chunks = [chunk(96, true), chunk(48, false), chunk(64, true)].concat();
        description[2] = (description.len() + chunks.len()) as u64 * 8;
        let words = [description.clone(), chunks.clone()].concat();
        let expected = [(ARENA + 0x8c0, ARENA + 0x910), (ARENA + 0x950, ARENA + 0x980)];
        assert_eq!(free(ARENA, &words), expected);
        let behind_a_stack = [vec![7; 64], words].concat();
        assert_eq!(free(ARENA - 512, &behind_a_stack), expected);
        description[2] += 16;
        assert_eq!(free(ARENA, &[description, chunks].concat()), [], "it ends elsewhere");
    }

    #[test]
    fn what_is_no_such_heap_has_no_free_blocks() {
        check(&[0; 64], &[]);
        check(&[chunk(32, true), vec![0, 7, 0, 0]].concat(), &[]);
        check(&[chunk(32, true), vec![0, u64::MAX, 0, 0]].concat(), &[]);
        check(&[chunk(4096, true), Vec::new()].concat()[..64], &[]);
    }
}
