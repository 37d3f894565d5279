//! Reads the lists in which glibc's allocator keeps free chunks that count as in use, produces their addresses: the caches of
//! threads (`tcache_perthread_struct`, malloc/malloc.c) and the fast bins of an arena (`malloc_state`).
//!
//! A list is believed link by link: each must be the address of a chunk of that list's size. From 2.32 on links are
//! stored as `next ^ (their address >> 12)` (`PROTECT_PTR`); which it is, is tried.

use crate::memory::peek::Peek;
use crate::memory::source::MemoryError;
use crate::native::chunks::FLAGS;

/// Chunks that hold a thread's cache: 64 counts of two bytes (2.30 to 2.41) or of one (2.28, 2.29), and 64 lists.
const CACHES: [(u64, u64); 2] = [(0x290, 2), (0x250, 1)];
const SIZES: u64 = 64;
/// Lists that must agree on the key before it is believed.
const AGREEING: usize = 2;
/// Links followed in all; a list of a cache has 7 unless tuned, a fast bin may have many.
pub(super) const MOST_LINKS: usize = 1 << 20;
/// Where an arena keeps its fast bins (2.27 to 2.41), and how many there are.
const FAST_BINS: u64 = 16;
const FAST_SIZES: u64 = 10;
/// The smallest chunk, and the step from one size to the next.
const SMALLEST: u64 = 32;
const STEP: u64 = 16;
/// Bytes of a chunk's header.
const HEADER: u64 = 16;

/// Tells the size of the chunk whose header begins at an address; none where none begins.
pub(super) type SizeOf<'s> = dyn Fn(u64) -> Option<u64> + 's;

/// Whether a chunk of this size may hold a thread's cache.
pub(super) fn may_be_cache(size: u64) -> bool {
    CACHES.iter().any(|cache| cache.0 == size)
}

/// The chunks in the cache of a thread that this chunk holds; none when it holds something else.
/// At most so many links are followed.
pub(super) fn cached(
    peek: &Peek<'_>,
    (chunk, size): (u64, u64),
    most: usize,
    size_of: &SizeOf<'_>,
) -> Result<Vec<u64>, MemoryError> {
    let mut free = Vec::new();
    let Some(&(_, width)) = CACHES.iter().find(|cache| cache.0 == size) else {
        return Ok(free);
    };
    let counts = chunk + HEADER;
    let lists = counts + width * SIZES;
    for index in 0..SIZES {
        let count = match width {
            1 => u16::from(peek.u8(counts + index)?),
            _ => peek.u16(counts + 2 * index)?,
        };
        let first = peek.word(lists + 8 * index)?;
        if count == 0 && first == 0 {
            continue;
        }
        let wanted = SMALLEST + STEP * index;
        let begins = first.checked_sub(HEADER).and_then(size_of) == Some(wanted);
        // A list that changes while it is looked at may have one without the other.
        if count > 0 && !begins || first != 0 && !first.is_multiple_of(STEP) {
            return Ok(Vec::new());
        }
        if count > 0 {
            let links = usize::from(count).min(most.saturating_sub(free.len()));
            free.extend(chain(peek, (first - HEADER, wanted), links, HEADER, size_of)?);
        }
    }
    Ok(free)
}

/// The word that stands second in every block that a thread caches (`tcache_entry.key`, 2.34 and later the same for all threads):
/// all lists that the main thread's cache begins with must agree on it. That cache is the main heap's first chunk.
pub(super) fn key(peek: &Peek<'_>, heap: u64) -> Result<Option<u64>, MemoryError> {
    let size = peek.word(heap + 8)? & !FLAGS;
    let Some((_, width @ 2)) = CACHES.iter().find(|cache| cache.0 == size) else {
        return Ok(None);
    };
    let counts = heap + HEADER;
    let lists = counts + width * SIZES;
    let mut key = None;
    let mut agreeing = 0;
    for index in 0..SIZES {
        let (count, block) = (peek.u16(counts + width * index)?, peek.word(lists + 8 * index)?);
        if count == 0 {
            continue;
        }
        if block == 0 || !block.is_multiple_of(STEP) {
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

/// The chunks in the fast bins of an arena; at most so many links are followed.
pub(super) fn fast(peek: &Peek<'_>, arena: u64, most: usize, size_of: &SizeOf<'_>) -> Result<Vec<u64>, MemoryError> {
    let mut free = Vec::new();
    for index in 0..FAST_SIZES {
        let first = peek.word(arena + FAST_BINS + 8 * index)?;
        let wanted = SMALLEST + STEP * index;
        if size_of(first) == Some(wanted) {
            let links = most.saturating_sub(free.len());
            free.extend(chain(peek, (first, wanted), links, 0, size_of)?);
        }
    }
    Ok(free)
}

/// A list from its first chunk on. Links stand where the memory that was handed out began, and are addresses of what lies
/// `beyond` bytes behind a chunk's beginning.
fn chain(
    peek: &Peek<'_>,
    (first, size): (u64, u64),
    most: usize,
    beyond: u64,
    size_of: &SizeOf<'_>,
) -> Result<Vec<u64>, MemoryError> {
    let mut chunks = Vec::new();
    if most > 0 {
        chunks.push(first);
    }
    let mut at = first;
    while chunks.len() < most {
        let place = at + HEADER;
        let link = peek.word(place)?;
        let of_size = |link: u64| {
            let chunk = link.checked_sub(beyond)?;
            (size_of(chunk) == Some(size)).then_some(chunk)
        };
        let Some(next) = of_size(link).or_else(|| of_size(link ^ (place >> 12))) else {
            break;
        };
        chunks.push(next);
        at = next;
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::source::{Image, Region};

    const BASE: u64 = 0x40_0000;

    struct Words(Vec<u64>);

    impl Words {
        fn set(&mut self, address: u64, word: u64) {
            self.0[((address - BASE) / 8) as usize] = word;
        }
        fn image(&self) -> Image {
            let region = Region {
                start: BASE,
                end: BASE + self.0.len() as u64 * 8,
                executable: false,
            };
            let mut image = Image::default();
            image.insert(region, self.0.iter().flat_map(|word| word.to_le_bytes()).collect());
            image
        }
    }

    /// Chunks of 64 bytes behind the first page.
    fn size_of(address: u64) -> Option<u64> {
        (address > BASE + 0x1000 && address.is_multiple_of(64)).then_some(64)
    }

    #[track_caller]
    fn check(protected: bool, expected: &[u64]) {
        let chunks = [BASE + 0x1040, BASE + 0x2000, BASE + 0x1080];
        let mut words = Words(vec![0; 0x3000 / 8]);
        // Two bytes a count; sizes 32, 48, 64.
        words.set(BASE + 16, 3 << 32);
        words.set(BASE + 16 + 128 + 16, chunks[0] + 16);
        for (index, chunk) in chunks.iter().enumerate() {
            let next = chunks.get(index + 1).map_or(0, |next| next + 16);
            let key = if protected { (chunk + 16) >> 12 } else { 0 };
            words.set(chunk + 16, next ^ key);
        }
        let image = words.image();
        let peek = Peek::new(&image);
        assert_eq!(cached(&peek, (BASE, 0x290), MOST_LINKS, &size_of).unwrap(), expected);
        assert_eq!(cached(&peek, (BASE, 0x290), 2, &size_of).unwrap(), expected[..2]);
        words.set(BASE + 16, 3 << 48);
        let image = words.image();
        assert_eq!(
            cached(&Peek::new(&image), (BASE, 0x290), MOST_LINKS, &size_of).unwrap(),
            [0_u64; 0],
            "a count without a list"
        );
    }

    #[test]
    fn a_threads_cache_is_followed_whether_or_not_links_are_protected() {
        let chunks = [BASE + 0x1040, BASE + 0x2000, BASE + 0x1080];
        check(false, &chunks);
        check(true, &chunks);
    }

    #[test]
    fn fast_bins_link_chunks() {
        let mut words = Words(vec![0; 0x3000 / 8]);
        let (first, second) = (BASE + 0x1040, BASE + 0x2000);
        words.set(BASE + 16 + 16, first);
        words.set(first + 16, second ^ ((first + 16) >> 12));
        words.set(second + 16, (second + 16) >> 12);
        let image = words.image();
        assert_eq!(
            fast(&Peek::new(&image), BASE, MOST_LINKS, &size_of).unwrap(),
            [first, second]
        );
    }
}
