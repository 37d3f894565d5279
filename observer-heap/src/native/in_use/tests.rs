//! Heaps of the C library, made word by word.

use super::*;
use crate::memory::source::Image;

const BASE: u64 = 0x1000;
const CACHE_CHUNK: u64 = 0x290;
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
    let mut names = names(&image, region);
    // Blocks larger than a copy come last.
    names.sort_unstable();
    names
}

fn names(image: &Image, region: Region) -> Vec<u64> {
    let peek = Peek::new(image);
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
    // 64 counts of two bytes, then 64 lists.
    cache[2] = 1 << 16 | 1 << 32;
    let lists = 2 + 2 * 64 / 8;
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
    // The description, the arena, and what aligns the first chunk.
    let mut description = vec![0; 0x8c0 / 8];
    description[0] = HEAP + 32;
    let top = 0x1000 - 0x8c0 - 96 - 48;
    let chunks = [chunk(1, 96, true), chunk(2, 48, false), chunk(3, top, true)].concat();
    description[2] = 0x1000;
    let words = [description.clone(), chunks.clone()].concat();
    assert_eq!(in_use(HEAP, &words), [2]);
    let behind_a_stack = [vec![7; 64], words.clone()].concat();
    assert_eq!(in_use(HEAP - 512, &behind_a_stack), [2]);
    // A further heap of the same arena, behind the first: its chunks follow its description.
    let mut further = vec![0; 0x20 / 8];
    (further[0], further[1], further[2]) = (HEAP + 32, HEAP, 0x1000);
    let chunks = [chunk(5, 64, true), chunk(6, 0x1000 - 0x20 - 64, true)].concat();
    let region = Region {
        start: 2 * HEAP,
        end: 2 * HEAP + 0x1000,
        executable: false,
    };
    let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut image = Image::default();
    image.insert(
        Region {
            start: HEAP,
            end: HEAP + 0x1000,
            ..region
        },
        bytes(&words),
    );
    image.insert(region, bytes(&[further, chunks].concat()));
    assert_eq!(names(&image, region), [5]);
    description[2] += 16;
    assert_eq!(in_use(HEAP, &description), [0; 0], "heaps are of whole pages");
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
fn what_a_stream_is_read_into_holds_nothing() {
    let heap = |bytes| {
        [
            chunk(1, 64, true),
            chunk(2, bytes, true),
            chunk(3, 64, true),
            chunk(4, 64, true),
        ]
        .concat()
    };
    for bytes in [0x10010, 0x10020] {
        check(&heap(bytes), &[1, 3]);
    }
    for bytes in [0x10000, 0x10030] {
        check(&heap(bytes), &[1, 2, 3]);
    }
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
