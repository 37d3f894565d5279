//! Marks a heap, produces the objects that will be the nodes of a snapshot, numbered by address: one bit for each word of a page.
//!
//! The program goes on meanwhile. What is young moves at the next minor collection, so young objects are copied while they are
//! found; old ones are read again when they are written.

use crate::graph::held::walk_held;
use crate::graph::live::{self, BITS, Live};
use crate::graph::roots::roots;
use crate::layout::maps::{MapId, MapInfo, Maps};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Page, Pages, Space};
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::walk::heap::Heap;
use crate::walk::walker::{Object, Visit, Walker};

/// Times the heap is marked until no collection came between.
const ATTEMPTS: u32 = 4;
/// Words of young objects copied: 64 MiB. What is beyond is left out, and counted.
const MOST_YOUNG: usize = 8 << 20;
/// One object in so many may have moved while it was looked for: what hangs below it is missing.
const DISTURBED: u64 = 500;
/// Slots of the filter that tells most pointers apart from those into the heap by one load.
const FILTER: usize = 1 << 14;
/// Words of the bit map between two sums.
const BLOCK: usize = 64;
/// Global objects remembered: one for each context.
const MOST_GLOBALS: usize = 1 << 10;

/// The objects of one page.
pub(crate) struct PageObjects {
    pub(crate) page: Page,
    pub(crate) bits: Box<[u64; BITS]>,
    /// Number of the first, and how many there are before each block of the bit map.
    first: u32,
    before: [u16; BITS / BLOCK],
}

/// Objects by address, and their numbers.
pub(crate) struct Objects {
    filter: Vec<bool>,
    index: ByAddress<u32>,
    /// By address.
    pub(crate) pages: Vec<PageObjects>,
}

impl Objects {
    fn new(pages: &Pages) -> Self {
        let mut objects = Self {
            filter: vec![false; FILTER],
            index: ByAddress::default(),
            pages: Vec::new(),
        };
        for page in pages.pages.iter().filter(|page| page.space != Space::Code) {
            objects.add(*page);
        }
        objects
    }

    fn add(&mut self, page: Page) {
        let number = page.base / PAGE;
        if self.index.contains_key(&number) {
            return;
        }
        self.filter[number as usize % FILTER] = true;
        self.index.insert(number, self.pages.len() as u32);
        self.pages.push(PageObjects {
            page,
            bits: Box::new([0; BITS]),
            first: 0,
            before: [0; BITS / BLOCK],
        });
    }

    fn at(&self, address: u64) -> Option<(&PageObjects, usize)> {
        let number = address / PAGE;
        if !self.filter[number as usize % FILTER] {
            return None;
        }
        let objects = self.pages.get(*self.index.get(&number)? as usize)?;
        let bit = (address.checked_sub(objects.page.base)? / 8) as usize;
        (bit < BITS * 64).then_some((objects, bit))
    }

    fn insert(&mut self, address: u64) -> bool {
        let Some(&index) = self.index.get(&(address / PAGE)) else {
            return false;
        };
        let Some(objects) = self.pages.get_mut(index as usize) else {
            return false;
        };
        let bit = (address.saturating_sub(objects.page.base) / 8) as usize;
        let Some(word) = objects.bits.get_mut(bit / 64) else {
            return false;
        };
        *word |= 1 << (bit % 64);
        true
    }

    /// Numbers the objects from `first` on; returns the number after the last.
    fn number(&mut self, first: u32) -> Option<u32> {
        self.pages.sort_unstable_by_key(|objects| objects.page.base);
        self.index = self
            .pages
            .iter()
            .enumerate()
            .map(|(index, objects)| (objects.page.base / PAGE, index as u32))
            .collect();
        let mut next = first;
        for objects in &mut self.pages {
            objects.first = next;
            let mut before = 0;
            for (sum, words) in objects.before.iter_mut().zip(objects.bits.chunks(BLOCK)) {
                *sum = before;
                before += words.iter().map(|word| word.count_ones() as u16).sum::<u16>();
            }
            next = next.checked_add(before.into())?;
        }
        Some(next)
    }

    /// An object's number.
    #[inline]
    pub(crate) fn ordinal(&self, address: u64) -> Option<u32> {
        let (objects, bit) = self.at(address)?;
        let word = bit / 64;
        if objects.bits[word] >> (bit % 64) & 1 == 0 || !address.is_multiple_of(8) {
            return None;
        }
        let block = word / BLOCK;
        let whole = objects.bits[block * BLOCK..word].iter();
        let below = objects.bits[word] & ((1 << (bit % 64)) - 1);
        let within = whole.map(|word| word.count_ones()).sum::<u32>() + below.count_ones();
        Some(objects.first + u32::from(objects.before[block]) + within)
    }

    /// Hands on the addresses of all objects in a space.
    pub(crate) fn each(&self, space: Space, then: &mut dyn FnMut(u64)) {
        for objects in self.pages.iter().filter(|objects| objects.page.space == space) {
            for (index, &word) in objects.bits.iter().enumerate() {
                let mut word = word;
                while word != 0 {
                    let bit = u64::from(word.trailing_zeros());
                    word &= word - 1;
                    then(objects.page.base + (index as u64 * 64 + bit) * 8);
                }
            }
        }
    }

    /// Where an object stands, when it is one of these.
    pub(crate) fn space(&self, address: u64) -> Option<Space> {
        self.at(address).map(|(objects, _)| objects.page.space)
    }
}

/// A young object as it was when it was found.
pub(crate) struct Copied {
    pub(crate) address: u64,
    pub(crate) map: MapId,
    pub(crate) info: MapInfo,
    pub(crate) size: u64,
    pub(crate) slots: bool,
    at: usize,
    words: usize,
}

/// Young objects, by address.
#[derive(Default)]
pub(crate) struct YoungCopies {
    pub(crate) objects: Vec<Copied>,
    words: Vec<[u8; 8]>,
    /// Objects that were not kept.
    pub(crate) left_out: u64,
}

impl YoungCopies {
    pub(crate) fn words(&self, copied: &Copied) -> &[[u8; 8]] {
        &self.words[copied.at..copied.at + copied.words]
    }

    fn keep(&mut self, object: &Object<'_>) -> bool {
        if self.words.len() + object.words.len() > MOST_YOUNG {
            self.left_out += 1;
            return false;
        }
        self.objects.push(Copied {
            address: object.address,
            map: object.map,
            info: object.info,
            size: object.size,
            slots: object.slots,
            at: self.words.len(),
            words: object.words.len(),
        });
        self.words.extend_from_slice(object.words);
        true
    }

    /// The objects of a page.
    pub(crate) fn of(&self, page: &Page) -> &[Copied] {
        let from = self.objects.partition_point(|copied| copied.address < page.base);
        let to = self.objects.partition_point(|copied| copied.address < page.end);
        &self.objects[from..to.max(from)]
    }
}

/// What a snapshot is made of.
pub(crate) struct Collected {
    pub(crate) objects: Objects,
    pub(crate) young: YoungCopies,
    /// Objects in all; the first has number 1.
    pub(crate) count: u32,
    /// Global objects.
    pub(crate) globals: Vec<u64>,
    /// By number: pointed at from outside the heap.
    pub(crate) rooted: Bits,
    /// Collections moved objects in every attempt.
    pub(crate) disturbed: bool,
}

/// One bit for each node.
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn new(nodes: u32) -> Self {
        Self(vec![0; nodes as usize / 64 + 1])
    }

    pub(crate) fn set(&mut self, node: u32) {
        if let Some(word) = self.0.get_mut(node as usize / 64) {
            *word |= 1 << (node % 64);
        }
    }

    pub(crate) fn has(&self, node: u32) -> bool {
        self.0
            .get(node as usize / 64)
            .is_some_and(|word| word >> (node % 64) & 1 == 1)
    }
}

/// Marks what is held, and numbers it; nothing where marks would take more than `marking` bytes, or nodes more than 32 bits.
pub(crate) fn collect(heap: &mut Heap<'_>, marking: usize) -> Result<Option<Collected>, Refusal> {
    for attempt in 1..=ATTEMPTS {
        heap.maps.refresh()?;
        if live::cost(&heap.maps.pages) > marking {
            return Ok(None);
        }
        let mut live = Live::new(&heap.maps.pages);
        live.roots(&heap.maps)?;
        let mut visit = Collect {
            maps: &heap.maps,
            free: heap.tables.free,
            objects: Objects::new(&heap.maps.pages),
            young: YoungCopies::default(),
            globals: Vec::new(),
            late: Vec::new(),
            copying: false,
        };
        let mut young_torn = 0;
        for isolate in heap.maps.pages.heaps() {
            let walked = walk_held(heap, isolate, &mut live, &mut visit, &mut |_| {})?;
            young_torn += walked.torn.saturating_sub(live.torn());
        }
        let mut walker = Walker::new(&heap.maps, &heap.sizes);
        for page in heap
            .maps
            .pages
            .pages
            .iter()
            .filter(|page| page.space == Space::ReadOnly)
        {
            walker.page(page, &mut visit)?;
        }
        let disturbed = live.disturbed(&heap.maps, Some(DISTURBED))? || young_torn > 0;
        if disturbed && !live.cut && attempt < ATTEMPTS {
            continue;
        }
        let Collect {
            mut objects,
            mut young,
            globals,
            late,
            ..
        } = visit;
        for page in live.appeared.iter().filter(|page| page.space == Space::Old) {
            objects.add(*page);
        }
        for address in late {
            objects.insert(address);
        }
        young.objects.sort_unstable_by_key(|copied| copied.address);
        heap.maps.pages.take_in(&live.appeared);
        drop(live);
        let Some(next) = objects.number(1) else { return Ok(None) };
        let mut rooted = Bits::new(next);
        roots(&heap.maps, &mut |words| {
            for word in words {
                let word = u64::from_le_bytes(*word);
                if word & TAG_MASK == STRONG
                    && let Some(ordinal) = objects.ordinal(word - STRONG)
                {
                    rooted.set(ordinal);
                }
            }
        })?;
        return Ok(Some(Collected {
            objects,
            young,
            count: next - 1,
            globals,
            rooted,
            disturbed,
        }));
    }
    Ok(None)
}

struct Collect<'c, 'm> {
    maps: &'c Maps<'m>,
    /// The type of free blocks.
    free: Option<u16>,
    objects: Objects,
    young: YoungCopies,
    globals: Vec<u64>,
    /// Objects on pages that came into being meanwhile.
    late: Vec<u64>,
    /// The object visited last is copied, and so are its further words.
    copying: bool,
}

impl Collect<'_, '_> {
    fn type_name(&self, instance_type: u16) -> &str {
        self.maps
            .layout
            .type_names
            .get(&instance_type)
            .map_or("", String::as_str)
    }
}

impl Visit for Collect<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        let instance_type = object.info.instance_type;
        self.copying = false;
        // Nothing that a program could hold: free memory, and V8's `undefined`, `true`, holes.
        if Some(instance_type) == self.free
            || object.size == 8
            || matches!(
                self.type_name(instance_type),
                "Oddball" | "Hole" | "FreeSpace" | "Filler"
            )
        {
            return Ok(());
        }
        match self.objects.space(object.address) {
            Some(Space::Young) => {
                if !self.young.keep(object) {
                    return Ok(());
                }
                self.copying = true;
            }
            Some(_) => {}
            None => {
                self.late.push(object.address);
                return Ok(());
            }
        }
        self.objects.insert(object.address);
        if self.globals.len() < MOST_GLOBALS && self.type_name(instance_type) == "JSGlobalObject" {
            self.globals.push(object.address);
        }
        Ok(())
    }

    fn more(&mut self, _: &Object<'_>, _: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        if self.copying
            && let Some(last) = self.young.objects.last_mut()
            && self.young.words.len() + words.len() <= MOST_YOUNG
        {
            last.words += words.len();
            self.young.words.extend_from_slice(words);
        }
        Ok(())
    }
}
