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

use crate::memory::free_lists::{CATEGORY_CHUNK, category_of};
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
            let kind = (size == CATEGORY_CHUNK)
                .then(|| category_of(&words[chunk + 2..next]))
                .flatten();
            // They are made in order, so that most have the one before or behind them for a neighbour.
            let behind = (following & !FLAGS == CATEGORY_CHUNK)
                .then(|| words.get(next + 2..next + 6).and_then(category_of))
                .flatten();
            let is_category =
                kind.is_some_and(|kind| category == kind.checked_sub(1) && kind > 0 || behind == Some(kind + 1));
            if following & PREVIOUS_IN_USE != 0 && !cached && !is_category {
                reach(&words[chunk + 2..=next]);
            }
            category = kind.filter(|_| is_category);
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
mod tests {
    use super::*;
    use crate::memory::source::Image;

    const BASE: u64 = 0x1000;
    const KEY: u64 = 0xd0db_1116_05c4_6a06;
    /// Above this, words that name the chunk they stand in.
    const NAMED: u64 = 1 << 40;

    /// Names of the chunks whose words are handed on.
    fn in_use(start: u64, words: &[u64]) -> Vec<u64> {
        let region = Region {
            start,
            end: start + words.len() as u64 * 8,
            executable: false,
        };
        let mut image = Image::default();
        image.insert(region, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        let peek = Peek::new(&image);
        let mut heaps = CHeaps::default();
        let mut names = Vec::new();
        for chunks in heaps.find(&peek, region).unwrap() {
            heaps
                .in_use(&peek, chunks, &mut |words| {
                    let words = words.iter().map(|word| u64::from_le_bytes(*word));
                    names.extend(
                        words
                            .filter(|word| *word >= NAMED && *word < 2 * NAMED)
                            .map(|word| word - NAMED),
                    );
                })
                .unwrap();
        }
        names
    }

    #[track_caller]
    fn check(words: &[u64], expected: &[u64]) {
        assert_eq!(in_use(BASE, words), expected);
    }

    /// A chunk of so many bytes with its name as the last word of its own; its flag speaks of the one before.
    fn chunk(name: u64, bytes: u64, previous_in_use: bool) -> Vec<u64> {
        let mut words = vec![0; bytes as usize / 8];
        words[1] = bytes | u64::from(previous_in_use);
        *words.last_mut().unwrap() = NAMED + name;
        words
    }

    /// A main heap: the main thread's cache with two lists, their blocks, a block in use, `top`.
    fn cached(keys: [u64; 2]) -> Vec<u64> {
        let mut cache = chunk(0, CACHE_CHUNK, true);
        cache[2] = 1 << 16 | 1 << 32;
        let lists = 2 + 2 * CACHED_SIZES as usize / 8;
        cache[lists + 1] = BASE + CACHE_CHUNK + 16;
        cache[lists + 2] = BASE + CACHE_CHUNK + 80 + 16;
        let [mut first, mut second] = [chunk(1, 80, true), chunk(2, 80, true)];
        (first[3], second[3]) = (keys[0], keys[1]);
        [cache, first, second, chunk(3, 96, true), chunk(4, 64, true)].concat()
    }

    #[test]
    fn free_chunks_and_the_top_are_left_out() {
        let chunks = [
            chunk(1, 32, true),
            chunk(2, 96, true),
            chunk(3, 48, false),
            chunk(4, 64, true),
        ];
        check(&chunks.concat(), &[1, 3]);
    }

    #[test]
    fn blocks_that_a_thread_caches_are_free() {
        check(&cached([KEY, KEY]), &[0, 3]);
        check(&cached([KEY, KEY + 1]), &[0, 1, 2, 3]);
    }

    #[test]
    fn a_threads_heap_stands_behind_its_description() {
        let mut description = vec![0; 0x8b0 / 8];
        description[0] = ARENA + 32;
        let mut chunks = [chunk(1, 96, true), chunk(2, 48, false), chunk(3, 64, true)].concat();
        chunks[96 / 8 + 1] |= THREADS;
        description[2] = (description.len() + chunks.len()) as u64 * 8;
        let words = [description.clone(), chunks.clone()].concat();
        assert_eq!(in_use(ARENA, &words), [2]);
        let behind_a_stack = [vec![7; 64], words].concat();
        assert_eq!(in_use(ARENA - 512, &behind_a_stack), [2]);
        description[2] += 16;
        assert_eq!(
            in_use(ARENA, &[description, chunks].concat()),
            [0; 0],
            "it ends elsewhere"
        );
    }

    #[test]
    fn blocks_larger_than_what_is_copied_at_once_are_followed() {
        let large = WINDOW + 4096;
        let heap = |in_use| {
            let chunks = [
                chunk(1, 64, true),
                chunk(2, large, true),
                chunk(3, 48, in_use),
                chunk(4, 64, true),
            ];
            chunks.concat()
        };
        check(&heap(true), &[1, 2, 3]);
        check(&heap(false), &[1, 3]);
    }

    #[test]
    fn heads_of_lists_of_free_memory_hold_nothing() {
        // Kind and bytes free, the first free block, the heads before and after; then what stood there before.
        let head = |kind: u64, before: u64| {
            let mut words = chunk(kind, CATEGORY_CHUNK, true);
            words[0] = before;
            words[2..].copy_from_slice(&[kind | 64 << 32, 0x5001, 0, 0x4000]);
            words
        };
        let last = |before: u64| {
            let mut words = chunk(9, 64, true);
            words[0] = before;
            words
        };
        let stale = NAMED + 7;
        let heads = [
            chunk(1, 64, true),
            head(3, NAMED + 2),
            head(4, stale),
            head(5, stale),
            last(stale),
            chunk(8, 64, true),
        ];
        check(&heads.concat(), &[1, 2, 9]);
        let alone = [chunk(1, 64, true), head(3, NAMED + 2), last(stale), chunk(8, 64, true)];
        check(&alone.concat(), &[1, 2, 7, 9]);
    }

    #[test]
    fn what_is_no_such_heap_has_no_blocks() {
        let region = |words: &[u64]| in_use(BASE, words);
        let none: [u64; 0] = [];
        assert_eq!(region(&[NAMED + 1; 64]), none);
        assert_eq!(region(&[chunk(1, 32, true), vec![0, 7, 0, 0]].concat()), none);
        assert_eq!(region(&[chunk(1, 32, true), vec![0, u64::MAX, 0, 0]].concat()), none);
        assert_eq!(region(&chunk(1, 4096, true)[..64]), none);
    }
}
