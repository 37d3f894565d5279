//! Memory of an allocator that was written to mislead: whatever stands in it, the walks end, and what they tell lies where it was looked
//! for and overlaps nothing.

use proptest::prelude::*;

use super::{Areas, Census, Malloc, State, Vtables};
use crate::memory::source::{Image, Region};

/// A data segment, a thread's heap at a multiple of 64 MiB, and the C library's data.
const BRK: u64 = 0x40_0000;
const THREAD: u64 = 64 << 20;
const LIBRARY: u64 = 0x7000_0000;
const BYTES: u64 = 0x1_0000;
/// Where a virtual table is said to stand.
const TABLE: u64 = 0x5000;

fn region(start: u64, bytes: u64) -> Region {
    Region {
        start,
        end: start + bytes,
        executable: false,
    }
}

/// Words of which chunks, lists and objects are made: sizes with flags, addresses in the same memory, a class.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        (1..64_u64).prop_flat_map(|size| (0..8_u64).prop_map(move |flags| (size * 16) | flags)),
        Just(0x291),
        Just(0x251),
        (0..BYTES / 16).prop_map(|at| BRK + 16 * at),
        (0..BYTES / 16).prop_map(|at| THREAD + 16 * at),
        (0..BYTES / 16).prop_map(|at| (BRK + 16 * at) ^ (BRK >> 12)),
        Just(TABLE + 16),
        Just(0),
        Just(0x0001_0001_0001_0001),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

/// Chunks one after another with the words as their contents, so that the walk gets far before it meets nonsense.
fn chunks(from: u64, bytes: u64, sizes: &[u64], words: &[u64], links: bool) -> Vec<u64> {
    let mut content = vec![0; (bytes / 8) as usize];
    let mut contents = words.iter().cycle();
    let mut at = (from / 8) as usize;
    for &size in sizes.iter().cycle() {
        let count = (size / 16 * 2).max(2) as usize;
        if at + count + 2 > content.len() {
            break;
        }
        content[at + 1] = (count as u64 * 8) | (size & 7);
        if links {
            content[at + 2..at + count].fill_with(|| contents.next().copied().unwrap_or(0));
        }
        at += count;
    }
    let left = (content.len() - at) as u64 * 8;
    if let Some(top) = content.get_mut(at + 1) {
        *top = left | 1;
    }
    content
}

fn walks(main: &[u64], thread: &[u64], library: &[u64]) {
    let mut image = Image::default();
    for (start, words) in [(BRK, main), (THREAD, thread), (LIBRARY, library)] {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        image.insert(region(start, words.len() as u64 * 8), bytes);
    }
    let areas = Areas {
        brk: Some(region(BRK, main.len() as u64 * 8)),
        anonymous: &[region(THREAD, thread.len() as u64 * 8)],
        library: &[region(LIBRARY, library.len() as u64 * 8)],
    };
    let malloc = Malloc::read(&image, areas).unwrap();
    for arena in &malloc.arenas {
        let heaps: Vec<(u64, u64)> = arena.heaps().collect();
        let blocks: Vec<_> = arena.blocks().collect();
        assert!(
            blocks
                .windows(2)
                .all(|pair| pair[0].end <= pair[1].start || pair[1].start < pair[0].start)
        );
        for block in blocks {
            assert!(block.start < block.end, "{block:?}");
            assert!(
                heaps.iter().any(|heap| heap.0 <= block.start && block.end <= heap.1),
                "{block:?} {heaps:?}"
            );
        }
    }
    for block in &malloc.mapped {
        assert!(block.start < block.end && block.state == State::InUse, "{block:?}");
    }
    let vtables = Vtables::of(&[(TABLE, 64, "_ZTV5Thing")]);
    let census = Census::read(&image, &malloc, &vtables, &[]).unwrap();
    let in_use = malloc
        .arenas
        .iter()
        .flat_map(|arena| arena.blocks().collect::<Vec<_>>());
    let in_use = in_use.chain(malloc.mapped.iter().copied());
    let all: u64 = in_use
        .filter(|block| block.state == State::InUse)
        .map(|block| block.end - block.start)
        .sum();
    let told: u64 = census.classes.iter().map(|class| class.bytes + class.held).sum::<u64>()
        + census.sizes.iter().map(|size| size.bytes).sum::<u64>();
    assert!(told <= all, "{told} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_an_allocators_memory_the_walks_end(
        sizes in prop::collection::vec(prop_oneof![16..900_u64, Just(0x291), Just(0x251), Just(0x31)], 1..40),
        words in prop::collection::vec(word(), 1..300),
        description in prop_oneof![Just(0x20_u64), Just(0x30)],
        top in 0..64_u64,
    ) {
        let main = chunks(0, BYTES, &sizes, &words, true);
        let first = (description + 0x898).next_multiple_of(16);
        let mut thread = chunks(first, BYTES, &sizes, &words, true);
        thread[0] = THREAD + description;
        thread[2] = BYTES;
        // The arena's own lists.
        let lists = words.iter().cycle();
        thread[(description / 8) as usize..(first / 8) as usize].iter_mut().zip(lists).for_each(|(slot, word)| *slot = *word);
        let library: Vec<u64> = words.iter().copied().cycle().take(2048 + top as usize).collect();
        walks(&main, &thread, &library);
    }

    #[test]
    fn noise_in_an_allocators_memory_ends_the_walks(words in prop::collection::vec(word(), 1..400)) {
        let noise: Vec<u64> = words.iter().copied().cycle().take((BYTES / 8) as usize).collect();
        walks(&noise, &noise, &noise);
    }
}

#[test]
fn lists_that_lead_in_circles_and_share_all_their_links_end() {
    // Two chunks link to each other; all others are threads' caches that claim 65,535 blocks of that list.
    const CACHE: u64 = 0x290;
    let count = (4 << 20) / CACHE;
    let mut main = vec![0; (4 << 20) / 8];
    for chunk in 0..count {
        let at = (chunk * CACHE / 8) as usize;
        main[at + 1] = CACHE | 1;
        if chunk < 2 {
            main[at + 2] = BRK + (1 - chunk) * CACHE + 16;
            continue;
        }
        let size = (CACHE - 32) / 16;
        main[at + 2 + (size / 4) as usize] = 0xffff << (16 * (size % 4));
        main[at + 18 + size as usize] = BRK + 16;
    }
    let at = (count * CACHE / 8) as usize;
    let left = (main.len() - at) as u64 * 8;
    main[at + 1] = left | 1;
    walks(&main, &[0; 512], &[0; 512]);
}
