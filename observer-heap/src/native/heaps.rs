//! Reads where a heap of glibc's allocator may begin, produces where its chunks stand.
//!
//! The main arena's heap is the process's data segment (`brk`). A thread's arena has heaps at multiples of 64 MiB
//! (malloc/arena.c, `struct _heap_info`), which begin with their arena's address, the heap before, and their size; the
//! first of an arena holds the arena itself.

use crate::memory::peek::Peek;
use crate::memory::source::MemoryError;
use crate::native::chunks::{FLAGS, PAGE, Span, is_size};

/// Where a thread's heap may stand (`HEAP_MAX_SIZE` on 64-bit).
pub(super) const HEAP: u64 = 64 << 20;
/// Bytes from a heap to its first chunk: behind its description (32 bytes, from 2.35 on 48), and, in an arena's first
/// heap, behind the arena too (2,200 bytes), aligned.
const DESCRIPTIONS: [u64; 2] = [0x20, 0x30];
const ARENA_SIZE: u64 = 0x898;

/// A thread's heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threads {
    /// Where its arena stands.
    pub(super) arena: u64,
    /// Its chunks, behind its description.
    pub(super) chunks: Span,
}

/// The thread's heap that begins here.
pub(super) fn thread(peek: &Peek<'_>, start: u64) -> Result<Option<Threads>, MemoryError> {
    if !start.is_multiple_of(HEAP) {
        return Ok(None);
    }
    let (arena, before, size) = (peek.word(start)?, peek.word(start + 8)?, peek.word(start + 16)?);
    if size > HEAP || !size.is_multiple_of(PAGE) || size == 0 {
        return Ok(None);
    }
    // A further heap of an arena is known by the one before.
    let further = before != 0 && before.is_multiple_of(HEAP) && arena > HEAP && peek.word(before)? == arena;
    for description in DESCRIPTIONS {
        let first = if before == 0 && arena == start + description {
            (arena + ARENA_SIZE).next_multiple_of(16)
        } else if further {
            start + description
        } else {
            continue;
        };
        let chunks = Span {
            start: first,
            end: start + size,
            known: true,
        };
        if begins(peek, chunks)? {
            return Ok(Some(Threads { arena, chunks }));
        }
    }
    Ok(None)
}

/// Whether a chunk's header stands where the chunks begin.
pub(super) fn begins(peek: &Peek<'_>, chunks: Span) -> Result<bool, MemoryError> {
    let size = peek.word(chunks.start + 8)? & !FLAGS;
    Ok(is_size(size) && size <= chunks.end.saturating_sub(chunks.start))
}
