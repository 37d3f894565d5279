//! Reads the C library's heap, produces the blocks of it that are free: what stands in them is history, and no root.
//!
//! glibc's main heap is a sequence of chunks (malloc/malloc.c, `struct malloc_chunk`): two words of header, the second
//! the size with three flags; the lowest says that the chunk before is in use. The last chunk (`top`) ends where the heap
//! does. Whatever does not follow these rules to the end is not taken for such a heap, and all of it may hold roots.

use crate::memory::Region;
use crate::peek::Peek;
use crate::refusal::Refusal;

/// Chunks followed; a heap of some GB has fewer.
const MOST_CHUNKS: usize = 1 << 22;
/// Free blocks smaller than this hold a few words at most.
const SMALLEST: u64 = 64;
/// Free blocks remembered, 16 bytes each.
const MOST_FREE: usize = 1 << 16;
const PREVIOUS_IN_USE: u64 = 1;
const FLAGS: u64 = 7;

/// Free blocks in ascending order; none when this is no heap of glibc's.
pub(crate) fn free_blocks(peek: &Peek<'_>, region: Region) -> Result<Vec<(u64, u64)>, Refusal> {
    let mut free = Vec::new();
    let mut chunk = region.start;
    let mut before = None;
    for _ in 0..MOST_CHUNKS {
        let word = peek.word(chunk + 8)?;
        let size = word & !FLAGS;
        if size < 16 || !size.is_multiple_of(16) || size > region.end - chunk {
            return Ok(Vec::new());
        }
        if let Some(before) = before
            && word & PREVIOUS_IN_USE == 0
            && chunk - before >= SMALLEST
            && free.len() < MOST_FREE
        {
            free.push((before + 16, chunk));
        }
        before = Some(chunk);
        chunk += size;
        if chunk == region.end {
            // The last one was `top`, which is free.
            free.extend(before.map(|top| (top + 16, chunk)));
            return Ok(free);
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Image;

    #[track_caller]
    fn check(words: &[u64], expected: &[(u64, u64)]) {
        let region = Region {
            start: 0x1000,
            end: 0x1000 + words.len() as u64 * 8,
            executable: false,
        };
        let mut image = Image::default();
        image.insert(region, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        assert_eq!(free_blocks(&Peek::new(&image), region).unwrap(), expected);
    }

    /// A chunk of so many bytes; its flag speaks of the one before.
    fn chunk(bytes: u64, previous_in_use: bool) -> Vec<u64> {
        let mut words = vec![0; bytes as usize / 8];
        words[1] = bytes | u64::from(previous_in_use);
        words
    }

    #[test]
    fn free_chunks_and_the_top_are_found() {
        let words = [chunk(32, true), chunk(96, true), chunk(48, false), chunk(64, true)].concat();
        check(&words, &[(0x1030, 0x1080), (0x10c0, 0x10f0)]);
    }

    #[test]
    fn what_is_no_such_heap_has_no_free_blocks() {
        check(&[0; 64], &[]);
        check(&[chunk(32, true), vec![0, 7, 0, 0]].concat(), &[]);
        check(&[chunk(32, true), vec![0, u64::MAX, 0, 0]].concat(), &[]);
        check(&[chunk(4096, true), Vec::new()].concat()[..64], &[]);
    }
}
