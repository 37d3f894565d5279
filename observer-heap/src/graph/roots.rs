//! Reads the memory outside the heap, produces the words of it that may be roots of the heap.
//!
//! Roots (handles, stacks, V8's own tables) stand in places no version publishes. They are found as a conservative collector
//! finds them (Boehm, Weiser 1988): every word in the process's private memory that points at an object. A stale one keeps
//! something dead; none that matters is missed. What is reached is therefore an upper bound, but a close one.
//!
//! Left out is what is known to hold nothing: free blocks of the C library, stacks below the stack pointer, V8's table of
//! internalised strings (a long array of nothing but strings and gaps), and weak global handles, by which C++ objects refer to the JavaScript objects that wrap them. Global handles stand in blocks of 256
//! (src/handles/global-handles.cc, V8 10 to 14): an address, a class, the handle's number in its block, its state, and two
//! words more.

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::pages::{PAGE, Pages};
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::memory::source::Region;
use crate::native::in_use::CHeaps;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;
/// Words looked at together for being part of a table of strings, and pointers of these that are followed.
const TABLE: usize = 512;
const SAMPLED: usize = 16;
/// Words of a global handle.
const HANDLE: usize = 4;
/// The state of a weak one, in the two lowest bits of its flags.
const WEAK: u8 = 2;

/// Hands every word that may be a root to `reach`.
pub(crate) fn roots(maps: &Maps<'_>, reach: &mut dyn FnMut(&[[u8; 8]])) -> Result<(), Refusal> {
    let (peek, pages) = (&maps.peek, &maps.pages);
    let mut window = vec![0; CHUNK];
    let unused = peek.memory.unused()?;
    let mut heaps = CHeaps::default();
    // Where heaps end changes.
    peek.forget();
    let mut strongly = |words: &[[u8; 8]]| strong(words, &|address| is_string(maps, address), reach);
    for region in peek.memory.writable()? {
        if is_v8s(region, pages) || pages.is_new(peek, region)? {
            continue;
        }
        let known = heaps.find(peek, region)?;
        // What is known: parts out of use, and heaps, of which the blocks in use are handed on.
        let mut parts: Vec<(u64, u64)> = known.iter().map(|chunks| chunks.range()).collect();
        let within = |part: &&Region| (region.start..region.end).contains(&part.start);
        parts.extend(unused.iter().filter(within).map(|part| (part.start, part.end)));
        parts.sort_unstable();
        let mut at = region.start;
        for (start, end) in parts.into_iter().chain([(region.end, region.end)]) {
            while at < start {
                let length = (start - at).min(CHUNK as u64) as usize;
                if peek.memory.read(at, &mut window[..length])? > 0 {
                    strongly(window[..length].as_chunks::<8>().0);
                }
                at += length as u64;
            }
            at = at.max(end);
        }
        for chunks in known {
            heaps.in_use(peek, chunks, &mut strongly)?;
        }
    }
    Ok(())
}

fn is_string(maps: &Maps<'_>, address: u64) -> bool {
    let map = maps.of(address).ok().flatten();
    map.is_some_and(|map| map.instance_type < maps.layout.string.first_nonstring)
}

/// Hands on all words but those of weak global handles and of tables of strings.
fn strong(words: &[[u8; 8]], is_string: &dyn Fn(u64) -> bool, reach: &mut dyn FnMut(&[[u8; 8]])) {
    let mut from = 0;
    let mut at = 0;
    while at < words.len() {
        let table = table_of_strings(&words[at..], is_string);
        let until = (at + table.max(TABLE)).min(words.len());
        if table > 0 {
            reach(&words[from..at]);
            from = until;
        } else {
            for handle in at..until {
                if tag(words[handle]) == STRONG && is_weak_handle(words, handle) {
                    reach(&words[from..handle]);
                    from = handle + 1;
                }
            }
        }
        at = until;
    }
    reach(&words[from..]);
}

fn tag(word: [u8; 8]) -> u64 {
    u64::from(word[0]) & TAG_MASK
}

/// Words of a table of strings that begin here: pointers, and one of two values in the gaps; none where there is another kind
/// of word or object, or too few pointers.
fn table_of_strings(words: &[[u8; 8]], is_string: &dyn Fn(u64) -> bool) -> usize {
    let Some(words) = words.get(..TABLE) else { return 0 };
    let mut pointers = 0;
    let mut gaps: Vec<[u8; 8]> = Vec::new();
    for &word in words {
        if tag(word) == STRONG {
            pointers += 1;
        } else if !gaps.contains(&word) {
            gaps.push(word);
            if gaps.len() > 2 {
                return 0;
            }
        }
    }
    let tagged = || words.iter().filter(|word| tag(**word) == STRONG);
    let strings = pointers * 8 >= TABLE
        && tagged()
            .step_by((pointers / SAMPLED).max(1))
            .all(|&word| is_string(u64::from_le_bytes(word) - STRONG));
    if strings { TABLE } else { 0 }
}

/// Whether a weak global handle begins here: its neighbours must be handles of the same block, by their numbers.
fn is_weak_handle(words: &[[u8; 8]], at: usize) -> bool {
    let second = |at: usize| words.get(at + 1);
    let Some(own) = second(at) else { return false };
    if own[3] & 3 != WEAK {
        return false;
    }
    let number = usize::from(own[2]);
    let mut agreeing = 0;
    for distance in 1..=2 {
        let before = at
            .checked_sub(HANDLE * distance)
            .filter(|_| number >= distance)
            .and_then(second);
        let after = Some(at + HANDLE * distance)
            .filter(|_| number + distance < 256)
            .and_then(second);
        for (neighbour, expected) in [(before, number.wrapping_sub(distance)), (after, number + distance)] {
            match neighbour {
                Some(word) if usize::from(word[2]) == expected => agreeing += 1,
                Some(_) => return false,
                None => {}
            }
        }
    }
    agreeing >= 2
}

/// Whether a region is mapped as V8 maps its pages: some in use are in it, or it is as long as pages are. What else
/// stands there was a page.
fn is_v8s(region: Region, pages: &Pages) -> bool {
    let first = pages
        .pages
        .partition_point(|page| page.end.max(page.base + PAGE) <= region.start);
    pages.pages.get(first).is_some_and(|page| page.base < region.end)
        || (region.start.is_multiple_of(PAGE) && region.end.is_multiple_of(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Handles of one block, from this number on, with these states.
    fn block(from: u8, states: &[u8]) -> Vec<[u8; 8]> {
        let handle = |(index, &state): (usize, &u8)| {
            let number = from.wrapping_add(index as u8);
            let object = 0x1000_u64 + 16 * index as u64 + 1;
            [object.to_le_bytes(), [0, 0, number, state, 0, 0, 0, 0], [0; 8], [0; 8]]
        };
        states.iter().enumerate().flat_map(handle).collect()
    }

    #[track_caller]
    fn check(words: &[[u8; 8]], expected: usize) {
        let mut tagged = 0;
        strong(words, &|_| true, &mut |words| {
            tagged += words.iter().filter(|word| word[0] & 3 == 1 && word[1] == 0x10).count();
        });
        assert_eq!(tagged, expected);
    }

    #[test]
    fn weak_handles_are_no_roots() {
        check(&block(0, &[1, 2, 1, 2, 2, 1]), 3);
        check(&block(250, &[2, 2, 2, 2, 2, 2]), 0);
    }

    #[test]
    fn words_that_only_look_so_are() {
        let mut words = block(7, &[2, 2, 2, 2, 2]);
        for number in words.iter_mut().skip(1).step_by(4) {
            number[2] = 9;
        }
        check(&words, 5);
        check(&block(3, &[2]), 1);
    }

    #[test]
    fn a_table_of_strings_holds_none_of_them() {
        let table = |other: u64| -> Vec<[u8; 8]> {
            (0..2 * TABLE as u64)
                .map(|n| match n % 3 {
                    0 => (0x1000_u64 + 8 * (n % 16) + 1).to_le_bytes(),
                    1 => [0; 8],
                    _ if n > TABLE as u64 => other.to_le_bytes(),
                    _ => (1_u64 << 32).to_le_bytes(),
                })
                .collect()
        };
        check(&table(1 << 32), 0);
        let mut mixed = table(1 << 32);
        mixed[TABLE + 2] = 78_u64.to_le_bytes();
        check(
            &mixed,
            mixed[TABLE..]
                .iter()
                .filter(|word| word[0] & 3 == 1 && word[1] == 0x10)
                .count(),
        );
    }
}
