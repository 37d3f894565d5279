//! Reads page headers at 256 KiB boundaries, produces the pages of every V8 heap in the process, by isolate and space.
//!
//! V8 aligns every page, of whatever size, to 256 KiB and begins it with flags and, in the page or behind a pointer
//! (from V8 13 on), its bounds, allocated bytes, owner space and heap. Three arrangements are known
//! (src/heap/basic-memory-chunk.h, memory-chunk-metadata.h); one is taken only when the numbers of every field agree
//! with one another. The young generation is told by the flags FROM_PAGE and TO_PAGE, bits 3 and 4 in all of them. Pages that V8 has
//! freed, but keeps mapped until its next collection, as it does with those whose objects it has moved to others, are none of a heap's.

use std::collections::{BTreeMap, BTreeSet};

use crate::memory::peek::Peek;
use crate::memory::source::{MemoryError, Region};

/// Alignment of V8's pages, bytes (`kPageSizeBits` = 18 on 64-bit).
pub(crate) const PAGE: u64 = 1 << 18;
/// A header is never longer.
const LONGEST_HEADER: u64 = 0x8000;
/// No single object is larger, nor any heap (1 TiB).
const LARGEST: u64 = 1 << 40;
/// More pages are not read: 256 GiB of heap.
const MOST_PAGES: usize = 1 << 20;

const FROM_PAGE: u64 = 1 << 3;
const TO_PAGE: u64 = 1 << 4;

/// What kind of objects a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Space {
    /// Objects that never change, shared by all isolates.
    ReadOnly,
    /// Everything that survived: old, map, trusted and large-object spaces.
    Old,
    /// The young generation, both halves: live objects point into the one in use only, so which it is need not be known.
    Young,
    /// Machine code.
    Code,
}

/// One page, also a large one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) base: u64,
    /// First and one past the last byte of objects.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) space: Space,
    /// Identifies the isolate; 0 for read-only pages.
    pub(crate) heap: u64,
    /// Bytes that V8 counts as allocated; of old pages: since the last major collection, dead ones included.
    pub(crate) allocated: u64,
}

impl Page {
    /// Bytes of objects and of free memory between them.
    pub(crate) fn area(&self) -> u64 {
        self.end - self.start
    }
}

/// Where the header keeps its fields, in words of the page or of its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    flags: usize,
    /// The word of the page that points at the metadata; `None` when they stand in the page.
    metadata: Option<usize>,
    size: usize,
    /// Where the area starts; `None`-like arrangements do not exist.
    area_start: usize,
    area_end: usize,
    allocated: usize,
    heap: usize,
    owner: usize,
    /// In the flags, and in a word of the metadata: bits of which all are set once V8 has freed the page.
    freed: u64,
    freed_metadata: Option<(usize, u64)>,
}

/// PRE_FREED of V8 10 to 12, and of 13 (src/heap/basic-memory-chunk.h, memory-chunk-metadata.h, memory-chunk.h).
const PRE_FREED: u64 = 1 << 13;
const PRE_FREED_13: u64 = 1 << 16;
/// V8 14 keeps flags of its own in the metadata, behind the owner: IsUnregisteredField and IsPreeFreedField (src/heap/base-page.h). Before, a
/// pointer stands there, in which these bits are clear.
const FREED_14: (usize, u64) = (11, 0b110);

/// What a header says.
enum Parsed {
    /// A page of a heap's.
    Page(Page),
    /// One that was freed, and where it ends.
    Freed(u64),
}

/// V8 10 and 11 (Node 18, 20); V8 12 (22); V8 13 and 14 (24, 26).
const HEADERS: [Header; 3] = [
    Header {
        flags: 1,
        metadata: None,
        size: 0,
        area_start: 3,
        area_end: 4,
        allocated: 5,
        heap: 2,
        owner: 8,
        freed: PRE_FREED,
        freed_metadata: None,
    },
    Header {
        flags: 0,
        metadata: None,
        size: 2,
        area_start: 4,
        area_end: 5,
        allocated: 6,
        heap: 3,
        owner: 9,
        freed: PRE_FREED,
        freed_metadata: None,
    },
    Header {
        flags: 0,
        metadata: Some(1),
        size: 2,
        area_start: 9,
        area_end: 7,
        allocated: 3,
        heap: 8,
        owner: 10,
        freed: PRE_FREED_13,
        freed_metadata: Some(FREED_14),
    },
];

const HEADER_WORDS: usize = 12;

impl Header {
    fn parse(self, peek: &Peek<'_>, base: u64, region: Region) -> Result<Option<Parsed>, MemoryError> {
        let page = words(peek, base)?;
        let fields = match self.metadata {
            None => page,
            Some(word) if page[word] % 8 == 0 && page[word] > PAGE => words(peek, page[word])?,
            Some(_) => return Ok(None),
        };
        let (start, end, size) = (fields[self.area_start], fields[self.area_end], fields[self.size]);
        let (heap, owner) = (fields[self.heap], fields[self.owner]);
        let plausible = start > base
            && start - base < LONGEST_HEADER
            && start % 8 == 0
            && end > start
            && end % 8 == 0
            && size <= LARGEST
            && end - base <= size.max(PAGE)
            && (fields[self.allocated] <= end - start || (size != PAGE && fields[self.allocated] <= LARGEST))
            && heap % 8 == 0
            && owner % 8 == 0
            && (heap == 0 || owner != 0)
            && page[self.flags] < 1 << 40;
        // A large page shrinks with its only object, and goes on counting as allocated what the object once was.
        // Parts of a page may have been made inaccessible (free memory of read-only pages, from V8 14 on).
        if !plausible || end > region.end.max(base + PAGE) {
            return Ok(None);
        }
        let flags = page[self.flags];
        let all = |(word, bits): (u64, u64)| word & bits == bits;
        if all((flags, self.freed))
            || self
                .freed_metadata
                .is_some_and(|(word, bits)| all((fields[word], bits)))
        {
            return Ok(Some(Parsed::Freed(end)));
        }
        let space = match flags & (FROM_PAGE | TO_PAGE) {
            _ if region.executable => Space::Code,
            _ if heap == 0 => Space::ReadOnly,
            0 => Space::Old,
            FROM_PAGE | TO_PAGE => Space::Young,
            _ => return Ok(None),
        };
        Ok(Some(Parsed::Page(Page {
            base,
            start,
            end,
            space,
            heap,
            allocated: fields[self.allocated].min(end - start),
        })))
    }
}

fn words(peek: &Peek<'_>, address: u64) -> Result<[u64; HEADER_WORDS], MemoryError> {
    // Not by the cache, which reads more: headers are many, and each stands far from the next.
    let mut bytes = [0; HEADER_WORDS * 8];
    peek.memory.read(address, &mut bytes)?;
    let mut words = [0; HEADER_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Ok(words)
}

/// All pages of all heaps of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    /// By address.
    pub(crate) pages: Vec<Page>,
    /// Pages that were not kept because there were too many.
    pub(crate) dropped: usize,
    /// The arrangement of their headers.
    header: Option<Header>,
}

impl Pages {
    /// Finds the pages: the arrangement that fits most candidates, and of that only pages whose heap and owner recur. None
    /// where nothing is recognised.
    pub(crate) fn find(peek: &Peek<'_>, regions: &[Region]) -> Result<Self, MemoryError> {
        let mut best = Self::default();
        for header in HEADERS {
            let mut found = Self::default();
            for &region in regions {
                found.scan(peek, header, region)?;
            }
            found.keep_consistent();
            if found.pages.len() > best.pages.len() {
                best = found;
                best.header = Some(header);
            }
        }
        Ok(best)
    }

    /// Whether a region begins with a page that was not there when the others were found.
    pub(crate) fn is_new(&self, peek: &Peek<'_>, region: Region) -> Result<bool, MemoryError> {
        let number = BTreeSet::from([region.start / PAGE]);
        Ok(region.start.is_multiple_of(PAGE) && !self.appeared(peek, &number)?.is_empty())
    }

    /// Finds the pages anew, by the arrangement that is known.
    pub(crate) fn again(&self, peek: &Peek<'_>, regions: &[Region]) -> Result<Self, MemoryError> {
        let Some(header) = self.header else {
            return Self::find(peek, regions);
        };
        let mut found = Self {
            header: Some(header),
            ..Self::default()
        };
        for &region in regions {
            found.scan(peek, header, region)?;
        }
        found.keep_consistent();
        Ok(found)
    }

    /// Pages with these numbers that were not there when the others were found, of the same heaps.
    pub(crate) fn appeared(&self, peek: &Peek<'_>, numbers: &BTreeSet<u64>) -> Result<Vec<Page>, MemoryError> {
        let Some(header) = self.header else {
            return Ok(Vec::new());
        };
        let mut heaps = self.heaps();
        heaps.push(0);
        let regions = peek.memory.regions()?;
        let mut appeared = Vec::new();
        for number in numbers {
            let Some(base) = number.checked_mul(PAGE) else { continue };
            let at = regions.partition_point(|region| region.end <= base);
            let Some(&region) = regions.get(at).filter(|region| region.start <= base) else {
                continue;
            };
            let known = self.pages.binary_search_by_key(&base, |page| page.base).is_ok();
            if !known
                && let Some(Parsed::Page(page)) = header.parse(peek, base, region)?
                && heaps.contains(&page.heap)
            {
                appeared.push(page);
            }
        }
        Ok(appeared)
    }

    /// Whether a page is where it was, and still what it was: V8 frees one whose objects it has moved to others.
    pub(crate) fn stands(&self, peek: &Peek<'_>, page: &Page) -> Result<bool, MemoryError> {
        let Some(header) = self.header else {
            return Ok(true);
        };
        let region = Region {
            start: page.base,
            end: page.end,
            executable: page.space == Space::Code,
        };
        let now = header.parse(peek, page.base, region)?;
        Ok(matches!(now, Some(Parsed::Page(now)) if (now.heap, now.space) == (page.heap, page.space)))
    }

    fn scan(&mut self, peek: &Peek<'_>, header: Header, region: Region) -> Result<(), MemoryError> {
        let mut base = region.start.next_multiple_of(PAGE);
        while base < region.end {
            // A large page's inside is not looked at: whatever stands there was written by the program.
            let next = match header.parse(peek, base, region)? {
                Some(Parsed::Page(page)) => {
                    if self.pages.len() < MOST_PAGES {
                        self.pages.push(page);
                    } else {
                        self.dropped += 1;
                    }
                    page.end
                }
                Some(Parsed::Freed(end)) => end,
                None => base + 1,
            };
            let Some(aligned) = next.checked_next_multiple_of(PAGE) else {
                break;
            };
            base = aligned;
        }
        Ok(())
    }

    /// Drops pages of heaps that own fewer than four: V8 never has so few, chance does.
    fn keep_consistent(&mut self) {
        let mut heaps = BTreeMap::<u64, usize>::new();
        for page in &self.pages {
            *heaps.entry(page.heap).or_default() += 1;
        }
        self.pages
            .retain(|page| page.heap == 0 || heaps.get(&page.heap).is_some_and(|&n| n >= 4));
        if self.pages.iter().all(|page| page.heap == 0) {
            self.pages.clear();
        }
    }

    /// Takes in pages that are none of these.
    pub(crate) fn take_in(&mut self, pages: &[Page]) {
        self.pages.extend(pages);
        self.pages.sort_unstable_by_key(|page| page.base);
        self.pages.dedup_by_key(|page| page.base);
    }

    /// The page an address lies in.
    pub(crate) fn containing(&self, address: u64) -> Option<&Page> {
        let at = self.pages.partition_point(|page| page.base <= address);
        self.pages
            .get(at.checked_sub(1)?)
            .filter(|page| (page.start..page.end).contains(&address))
    }

    /// The heaps (isolates), in order of address.
    pub(crate) fn heaps(&self) -> Vec<u64> {
        let heaps: BTreeSet<u64> = self
            .pages
            .iter()
            .map(|page| page.heap)
            .filter(|&heap| heap != 0)
            .collect();
        heaps.into_iter().collect()
    }
}
