//! Reads glibc's heaps, produces the words of blocks in use: what stands in free ones is history, and no root. Most of what V8's
//! collector leaves behind, lists of objects it moved, stands there.
//!
//! Where heaps begin, [`heaps`] tells, and [`Span::walk`] follows their chunks. Whatever does not follow the rules is not taken for
//! a heap, and all of it may hold roots.
//!
//! The program goes on meanwhile: that a block is free is believed where the copy says so that its words are from. Free blocks that
//! a thread caches (`tcache`) count as in use by their neighbour's flag; they are told by the key that stands in their second word,
//! not by the lists they are in, which were read before. What fast bins keep has no such key, and is handed on.

use crate::memory::blocks::{CATEGORY_CHUNK, category_of, is_read_buffer, is_zone_segment};
use crate::memory::peek::Peek;
use crate::memory::source::{MemoryError, Region};
use crate::native::chunks::{Block, End, FLAGS, Span, State};
use crate::native::heaps::{self, HEAP};
use crate::native::lists;

/// Bytes copied at once of what is not told apart, and of blocks larger than a copy.
const WINDOW: u64 = 1 << 18;

/// The heaps of one process, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct CHeaps {
    /// What tells blocks that threads cache, once it is known.
    key: Option<u64>,
}

/// Chunks that follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunks(Span);

impl Chunks {
    /// Where the first begins, and where the last, `top`, ends.
    pub(crate) const fn range(self) -> (u64, u64) {
        (self.0.start, self.0.end)
    }
}

impl CHeaps {
    /// The sequences of chunks in a region, in ascending order; none when it holds no heap of glibc's. The main heap, the
    /// lowest, must come first.
    pub(crate) fn find(&mut self, peek: &Peek<'_>, region: Region) -> Result<Vec<Chunks>, MemoryError> {
        if self.key.is_none() {
            self.key = lists::key(peek, region.start)?;
        }
        let main = Span {
            start: region.start,
            end: region.end,
            // Its first chunk is the main thread's cache.
            known: lists::may_be_cache(peek.word(region.start + 8)? & !FLAGS),
        };
        let leads = |span: Span| Ok::<_, MemoryError>(span.walk(peek.memory, &mut |_, _| true)? == End::Reached);
        if heaps::begins(peek, main)? && (main.known || leads(main)?) {
            return Ok(vec![Chunks(main)]);
        }
        // A mapping before it may stand wall to wall with a thread's heap.
        let mut found = Vec::new();
        let mut start = region.start.next_multiple_of(HEAP);
        while start < region.end {
            found.extend(heaps::thread(peek, start)?.map(|heap| Chunks(heap.chunks)));
            start += HEAP;
        }
        Ok(found)
    }

    /// Hands on the words of blocks in use, block by block.
    pub(crate) fn in_use(
        &self,
        peek: &Peek<'_>,
        Chunks(span): Chunks,
        reach: &mut dyn FnMut(&[[u8; 8]]),
    ) -> Result<(), MemoryError> {
        let mut category = None;
        // What was not copied with its chunk, or is not told apart: first and one past the last address.
        let mut rests: Vec<(u64, u64)> = Vec::new();
        let end = span.walk(peek.memory, &mut |block, words| {
            let kind = self.block(block, words, category, reach, &mut rests);
            category = kind;
            true
        })?;
        if let End::Lost(at) = end {
            rests.push((at, span.end));
        }
        let mut window = vec![0; if rests.is_empty() { 0 } else { WINDOW as usize }];
        for (mut at, end) in rests {
            while at < end {
                let part = &mut window[..(end - at).min(WINDOW) as usize];
                peek.memory.read(at, part)?;
                reach(part.as_chunks::<8>().0);
                at += part.len() as u64;
            }
        }
        Ok(())
    }

    /// Hands on a block's words if it is in use and may hold roots; tells which head of a list of free memory it is, if it is one.
    /// `before` is what that was of the block before.
    fn block(
        &self,
        block: Block,
        words: &[[u8; 8]],
        before: Option<u64>,
        reach: &mut dyn FnMut(&[[u8; 8]]),
        rests: &mut Vec<(u64, u64)>,
    ) -> Option<u64> {
        let size = block.end - block.start;
        if !matches!(block.state, State::InUse) || is_read_buffer(size) {
            return None;
        }
        let next = (size / 8) as usize;
        // A block reaches into the header of the next chunk.
        let Some(own) = words.get(2..=next) else {
            rests.push((block.start + 16, block.end + 8));
            return None;
        };
        let following = words.get(next + 1).map_or(0, |word| u64::from_le_bytes(*word)) & !FLAGS;
        let head = |size: u64, from: usize| {
            let block = words.get(from + 2..).filter(|_| size == CATEGORY_CHUNK);
            block.and_then(category_of)
        };
        // Heads are made in order, so that most have the one before or behind them for a neighbour.
        let kind = head(size, 0)
            .filter(|&kind| before.is_some_and(|before| before + 1 == kind) || head(following, next) == Some(kind + 1));
        let second = words.get(3).map(|word| u64::from_le_bytes(*word));
        let cached = self.key.is_some() && second == self.key;
        if !cached && kind.is_none() && !is_zone_segment(size, own) {
            reach(own);
        }
        kind
    }
}

#[cfg(test)]
mod tests;
