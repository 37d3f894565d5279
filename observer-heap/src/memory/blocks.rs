//! Reads blocks of the C library's heaps in use, produces which of them are known to hold no root, though they are full of what
//! stood there before: lists of objects that a collection moved, above all.
//!
//! - Heads of V8's lists of free memory, 24 for each page of its heap (`FreeListCategory` in src/heap/free-list.h: kind, bytes
//!   free, the first free block, the heads before and after it). The last word of their chunk is not theirs.
//! - Segments of zones (`Segment` in src/zone/zone-segment.h: the zone, the next segment, the size), where parser and compiler
//!   work. V8's collector never looks there: what they refer to they hold by handles, which stand elsewhere.
//! - Buffers that libuv reads a stream into: always 64 KiB (`uv__read` in src/unix/stream.c), not cleared, of which what came is
//!   a few bytes at the beginning. Node keeps one while it calls the function that was given for the data.

use crate::memory::peek::{STRONG, TAG_MASK};

/// Bytes of the chunk of a head.
pub(crate) const CATEGORY_CHUNK: u64 = 0x30;
/// Kinds of list.
const CATEGORIES: u64 = 24;
/// The smallest segment, bytes.
const SEGMENT: u64 = 0x1000;
/// Bytes of a buffer that a stream is read into.
const READ: u64 = 64 << 10;

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

/// Whether the block of a chunk of this many bytes is a segment of a zone.
pub(crate) fn is_zone_segment(chunk: u64, block: &[[u8; 8]]) -> bool {
    let [zone, next, size, ..] = block else { return false };
    let [zone, next, size] = [zone, next, size].map(|word| u64::from_le_bytes(*word));
    let pointer = |word: u64| word.is_multiple_of(8);
    (SEGMENT..=chunk).contains(&size)
        && (size + 8).next_multiple_of(16) == chunk
        && zone != 0
        && pointer(zone)
        && pointer(next)
}

/// Whether the block of a chunk of this many bytes is what libuv reads a stream into. A chunk has 8 bytes more than its block,
/// rounded up to 16; and 16 more where that would leave too little for a free one behind it.
pub(crate) fn is_read_buffer(chunk: u64) -> bool {
    (READ + 16..=READ + 32).contains(&chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunk: u64, block: [u64; 4], expected: bool) {
        assert_eq!(is_zone_segment(chunk, &block.map(u64::to_le_bytes)), expected);
    }

    #[test]
    fn a_segment_says_its_zone_the_next_one_and_its_size() {
        check(0x8010, [0x4001_3aa0, 0x4002_7400, 0x8008, 9], true);
        check(0x2010, [0x4001_3aa0, 0, 0x2008, 9], true);
        check(0x2010, [0x4001_3aa0, 0, 0x2000, 9], true);
        check(0x2010, [0x4001_3aa0, 0, 0x1ff0, 9], false);
        check(0x2010, [0x4001_3aa1, 0, 0x2008, 9], false);
        check(0x2010, [0, 0, 0x2008, 9], false);
        check(0x40, [0x4001_3aa0, 0, 0x38, 9], false);
        check(0x2010, [0x4001_3aa0, 0, u64::MAX, 9], false);
    }
}
