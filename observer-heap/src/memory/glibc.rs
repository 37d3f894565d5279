//! Reads the C library's heaps, produces the words of blocks in use: what stands in free ones is history, and no root.
//! Most of what V8's collector leaves behind, lists of objects it moved, stands there.
//!
//! glibc's heaps are sequences of chunks (malloc/malloc.c, `struct malloc_chunk`): two words of header, the second the
//! size with three flags; the lowest says that the chunk before is in use. The last chunk (`top`) ends where the heap
//! does. The main heap begins with a chunk; a thread's stands at a multiple of 64 MiB and begins with its description
//! (malloc/arena.c, `struct _heap_info`). Free blocks that a thread caches (`tcache`) count as in use; they are told by the
//! key that stands in their second word (`struct tcache_entry`). Whatever does not follow these rules is not taken for such
//! a heap, and all of it may hold roots.
//!
//! The program goes on meanwhile: a chunk and the flag that says whether it is in use are taken from one copy.

use crate::memory::blocks::{CATEGORY_CHUNK, category_of, is_zone_segment};
use crate::memory::peek::Peek;
use crate::memory::source::{MemoryError, Region};

/// Chunks followed; a heap of some GB has fewer.
const MOST_CHUNKS: usize = 1 << 22;
const PREVIOUS_IN_USE: u64 = 1;
/// The chunk is a mapping of its own: never in a heap.
const MAPPED: u64 = 2;
/// The chunk is in a thread's heap.
const THREADS: u64 = 4;
const FLAGS: u64 = 7;
/// The smallest chunk.
const SMALLEST: u64 = 32;
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
/// Times a heap is followed that did not follow the rules: it may have been changing.
const ATTEMPTS: usize = 3;
/// Bytes copied at once.
const WINDOW: u64 = 1 << 18;
/// The heaps of one process, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct CHeaps {
    /// What tells blocks that threads cache, once it is known.
    key: Option<u64>,
}

/// Chunks that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// The first.
    pub(crate) start: u64,
    /// Where the last, `top`, ends.
    pub(crate) end: u64,
    /// A thread's: only there chunks may say so.
    thread: bool,
}

impl Chunks {
    /// The size of the chunk at `at` that has this word in its header; `None` where it is no such word.
    fn size(self, at: u64, word: u64) -> Option<u64> {
        let size = word & !FLAGS;
        let fits = size >= SMALLEST && size.is_multiple_of(16) && size <= self.end.saturating_sub(at);
        (fits && word & MAPPED == 0 && (self.thread || word & THREADS == 0)).then_some(size)
    }
}

impl CHeaps {
    /// The sequences of chunks in a region, in ascending order; none when it holds no heap of glibc's. The main heap, the
    /// lowest, must come first.
    pub(crate) fn find(&mut self, peek: &Peek<'_>, region: Region) -> Result<Vec<Chunks>, MemoryError> {
        if self.key.is_none() {
            self.key = cache_key(peek, region)?;
        }
        let main = Chunks {
            start: region.start,
            end: region.end,
            thread: false,
        };
        let sure = peek.word(main.start + 8)? & !FLAGS == CACHE_CHUNK;
        for attempt in 0..if sure { ATTEMPTS } else { 1 } {
            if attempt > 0 {
                peek.forget();
            }
            if follows(peek, main)? {
                return Ok(vec![main]);
            }
        }
        // A mapping before it may stand wall to wall with a thread's heap.
        let mut found = Vec::new();
        let mut start = region.start.next_multiple_of(ARENA);
        while start < region.end {
            found.extend(arena(peek, start)?);
            start += ARENA;
        }
        Ok(found)
    }

    /// Hands on the words of blocks in use, block by block.
    pub(crate) fn in_use(
        &self,
        peek: &Peek<'_>,
        chunks: Chunks,
        reach: &mut dyn FnMut(&[[u8; 8]]),
    ) -> Result<(), MemoryError> {
        let mut window = vec![0; WINDOW as usize];
        let mut copy = |at: u64, until: u64, then: &mut dyn FnMut(&[[u8; 8]])| -> Result<u64, MemoryError> {
            let window = &mut window[..until.saturating_sub(at).min(WINDOW) as usize];
            peek.memory.read(at, window)?;
            then(window.as_chunks::<8>().0);
            Ok(window.len() as u64)
        };
        let mut at = chunks.start;
        let mut attempts = 0;
        while at < chunks.end {
            let mut step = Step::default();
            copy(at, chunks.end, &mut |words| {
                step = self.blocks(at, words, chunks, reach);
            })?;
            if step.complete > 0 {
                at += step.complete;
                attempts = 0;
                continue;
            }
            // Where the next chunk begins that is larger than a window, or the end.
            let next = match step.next {
                Some(size) if at + size == chunks.end => return Ok(()),
                Some(size) => {
                    let mut in_use = true;
                    copy(at + size, at + size + 16, &mut |words| {
                        in_use = words
                            .get(1)
                            .is_none_or(|word| u64::from(word[0]) & PREVIOUS_IN_USE != 0);
                    })?;
                    if !in_use {
                        at += size;
                        continue;
                    }
                    at + size
                }
                None if attempts + 1 < ATTEMPTS => {
                    attempts += 1;
                    continue;
                }
                // What follows may be anything.
                None => chunks.end,
            };
            let mut part = at;
            while part < next {
                part += copy(part, next, reach)?;
            }
            at = next;
        }
        Ok(())
    }

    /// Hands on the blocks in use of a copy that begins with a chunk.
    fn blocks(&self, at: u64, words: &[[u8; 8]], chunks: Chunks, reach: &mut dyn FnMut(&[[u8; 8]])) -> Step {
        let word = |index: usize| words.get(index).map(|word| u64::from_le_bytes(*word));
        let mut chunk = 0;
        let mut category = None;
        let mut step = Step::default();
        while let Some(header) = word(chunk + 1) {
            step.next = chunks.size(at + chunk as u64 * 8, header);
            let Some(size) = step.next else { break };
            let next = chunk + size as usize / 8;
            let Some(following) = word(next + 1) else { break };
            let cached = self.key.is_some() && word(chunk + 3) == self.key;
            let block = &words[chunk + 2..=next];
            let head = |size: u64, from: usize| {
                let block = words.get(from + 2..).filter(|_| size == CATEGORY_CHUNK);
                block.and_then(category_of)
            };
            // Heads are made in order, so that most have the one before or behind them for a neighbour.
            let kind = head(size, chunk).filter(|&kind| {
                category.is_some_and(|before: u64| before + 1 == kind)
                    || head(following & !FLAGS, next) == Some(kind + 1)
            });
            let rootless = cached || kind.is_some() || is_zone_segment(size, block);
            if following & PREVIOUS_IN_USE != 0 && !rootless {
                reach(block);
            }
            category = kind;
            chunk = next;
        }
        step.complete = chunk as u64 * 8;
        step
    }
}

/// How far a copy was followed.
#[derive(Debug, Default)]
struct Step {
    /// Bytes of chunks of which it was said whether they are in use.
    complete: u64,
    /// The size of the chunk behind them; `None` where there is none.
    next: Option<u64>,
}

/// The chunks of the thread's heap that may begin at `start`. It may have grown since its mapping was looked up.
fn arena(peek: &Peek<'_>, start: u64) -> Result<Option<Chunks>, MemoryError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            peek.forget();
        }
        let (arena, before, size) = (peek.word(start)?, peek.word(start + 8)?, peek.word(start + 16)?);
        let first_piece = before == 0 && (start + 32..=start + 64).contains(&arena);
        if !first_piece || size > ARENA {
            return Ok(None);
        }
        for offset in FIRST_CHUNK.step_by(16) {
            let chunks = Chunks {
                start: start + offset,
                end: start + size,
                thread: true,
            };
            if follows(peek, chunks)? {
                return Ok(Some(chunks));
            }
        }
    }
    Ok(None)
}

/// Whether chunks lead from the start exactly to the end.
fn follows(peek: &Peek<'_>, chunks: Chunks) -> Result<bool, MemoryError> {
    let mut at = chunks.start;
    for _ in 0..MOST_CHUNKS {
        match chunks.size(at, peek.word(at + 8)?) {
            Some(size) => at += size,
            None => return Ok(false),
        }
        if at == chunks.end {
            return Ok(true);
        }
    }
    Ok(false)
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
mod tests;
