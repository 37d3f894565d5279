//! Reads blocks of the C library's heaps in use, produces which of them are known to hold no root: the heads of V8's lists of
//! free memory.
//!
//! Each page of V8's heap has 24 (`FreeListCategory` in src/heap/free-list.h: kind, bytes free, the first free block, the heads
//! before and after it). They are cut from larger blocks, which may have held a collection's lists of objects; the last word
//! of their chunk is not theirs, and still says what stood there before.

use crate::memory::peek::{STRONG, TAG_MASK};

/// Bytes of the chunk of a head.
pub(crate) const CATEGORY_CHUNK: u64 = 0x30;
/// Kinds of list.
const CATEGORIES: u64 = 24;

/// Which kind of list this looks like the head of. One alone may be anything; its neighbours are of the kinds before and behind.
pub(crate) fn category_of(words: &[[u8; 8]]) -> Option<u64> {
    let [first, top, before, after, ..] = words else {
        return None;
    };
    let [first, top, before, after] = [first, top, before, after].map(|word| u64::from_le_bytes(*word));
    let (kind, available) = (first & 0xffff_ffff, first >> 32);
    let head = |word: u64| word.is_multiple_of(16);
    let is_one = kind < CATEGORIES
        && available.is_multiple_of(8)
        && (top == 0 || top & TAG_MASK == STRONG)
        && head(before)
        && head(after);
    is_one.then_some(kind)
}
