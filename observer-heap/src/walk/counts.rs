//! Visits the objects of an isolate, produces counts and bytes by map, closures by function, and the largest collections.
//! No names yet: those are looked up for what is worth showing.

use std::collections::BinaryHeap;

use crate::layout::maps::{MapId, Maps};
use crate::layout::refusal::Refusal;
use crate::layout::tables::Tables;
use crate::memory::by_address::ByAddress;
use crate::memory::peek::{smi, strong};
use crate::walk::walker::{Coverage, Object, Visit};

/// Functions counted apart; the closures of further ones are counted together.
const MOST_FUNCTIONS: usize = 1 << 18;
/// Largest collections kept.
const LARGEST: usize = 24;
/// ArrayBuffers whose memory is remembered, 16 bytes each.
pub(crate) const MOST_BUFFERS: usize = 1 << 20;
/// Bytes from which a collection is worth keeping.
const LARGE: u64 = 16 << 10;

/// How many and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects.
    pub count: u64,
    /// Bytes of the objects themselves, plus the memory outside the heap that ArrayBuffers own.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// One of the largest collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Large {
    pub(crate) bytes: u64,
    pub(crate) elements: u64,
    pub(crate) address: u64,
    pub(crate) instance_type: u16,
}

/// What one isolate holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Isolate {
    /// Its heap.
    pub(crate) heap: u64,
    /// By [`MapId`].
    pub(crate) by_map: Vec<Tally>,
    /// By address of the SharedFunctionInfo.
    pub(crate) closures: ByAddress<Tally>,
    pub(crate) other_closures: Tally,
    /// Suspended calls by address of their function's SharedFunctionInfo.
    pub(crate) suspended: ByAddress<Tally>,
    pub(crate) pending_promises: u64,
    pub(crate) map_entries: u64,
    pub(crate) set_entries: u64,
    pub(crate) array_buffer_bytes: u64,
    /// Where their memory begins, and how much each has.
    pub(crate) buffers: Vec<(u64, u64)>,
    pub(crate) largest: Vec<Large>,
    /// Old pages' bytes, by what became of them.
    pub(crate) coverage: Coverage,
    pub(crate) free: u64,
    /// Bytes of old objects that nothing holds, when they were told apart.
    pub(crate) dead: Option<u64>,
    pub(crate) code: u64,
    /// The young generation: bytes of pages (both halves), and of what was reachable of it.
    pub(crate) young_pages: u64,
    pub(crate) young_live: u64,
    pub(crate) torn: u64,
    pub(crate) young_torn: u64,
    /// A minor collection came between: young objects may have been met twice, or not at all.
    pub(crate) moved: bool,
}

impl Isolate {
    /// Objects that were counted.
    pub(crate) fn objects(&self) -> u64 {
        self.by_map.iter().map(|tally| tally.count).sum()
    }

    /// Adds what another count has by name: maps, functions, suspended calls.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.each(other, Tally::merge);
    }

    /// Takes away what another count has by name, all of which this one has.
    pub(crate) fn take_away(&mut self, other: &Self) {
        self.each(other, |own, other| {
            own.count = own.count.saturating_sub(other.count);
            own.bytes = own.bytes.saturating_sub(other.bytes);
        });
        self.closures.retain(|_, tally| tally.count > 0);
        self.suspended.retain(|_, tally| tally.count > 0);
    }

    fn each(&mut self, other: &Self, both: impl Fn(&mut Tally, Tally)) {
        if self.by_map.len() < other.by_map.len() {
            self.by_map.resize(other.by_map.len(), Tally::default());
        }
        for (own, other) in self.by_map.iter_mut().zip(&other.by_map) {
            both(own, *other);
        }
        both(&mut self.other_closures, other.other_closures);
        for (own, other) in [
            (&mut self.closures, &other.closures),
            (&mut self.suspended, &other.suspended),
        ] {
            for (&function, &tally) in other {
                both(own.entry(function).or_default(), tally);
            }
        }
    }

    /// Bytes of all objects that were counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.by_map.iter().map(|tally| tally.bytes).sum()
    }
}

pub(crate) struct Count<'c, 'm> {
    maps: &'c Maps<'m>,
    tables: Tables,
    pub(crate) isolate: Isolate,
    largest: BinaryHeap<std::cmp::Reverse<Large>>,
    /// SharedFunctionInfo of each function a suspended call was seen of.
    functions: ByAddress<u64>,
    pub(crate) bytes: u64,
    /// Of these, of old objects.
    pub(crate) old_bytes: u64,
    /// Whether objects of a map are counted by nothing but their map; as far as it was asked.
    plain: Vec<Option<bool>>,
}

impl<'c, 'm> Count<'c, 'm> {
    pub(crate) fn new(maps: &'c Maps<'m>, tables: Tables) -> Self {
        Self {
            maps,
            tables,
            isolate: Isolate::default(),
            largest: BinaryHeap::new(),
            functions: ByAddress::default(),
            bytes: 0,
            old_bytes: 0,
            plain: Vec::new(),
        }
    }

    pub(crate) fn finish(mut self) -> Isolate {
        self.isolate.largest = self.largest.into_iter().map(|large| large.0).collect();
        self.isolate.largest.sort_by(|a, b| b.cmp(a));
        self.isolate
    }

    fn tally(&mut self, map: MapId) -> &mut Tally {
        let index = map.0 as usize;
        if index >= self.isolate.by_map.len() {
            self.isolate.by_map.resize(index + 1, Tally::default());
        }
        &mut self.isolate.by_map[index]
    }

    /// Whether objects of this map are counted by nothing but their map: no functions, calls, promises, buffers, tables.
    #[inline]
    fn is_plain(&mut self, object: &Object<'_>) -> bool {
        match self.plain.get(object.map.0 as usize) {
            Some(Some(plain)) => *plain,
            _ => self.find_plain(object),
        }
    }

    #[inline(never)]
    fn find_plain(&mut self, object: &Object<'_>) -> bool {
        let (types, own) = (&self.maps.layout.types, object.info.instance_type);
        let tables = [self.tables.free, self.tables.map, self.tables.set];
        let plain = !tables.contains(&Some(own))
            && !types.is_function(own)
            && !types.generators.contains(&own)
            && own != types.js_array_buffer
            && own != types.js_promise;
        let index = object.map.0 as usize;
        if index >= self.plain.len() {
            self.plain.resize(index + 1, None);
        }
        self.plain[index] = Some(plain);
        plain
    }

    fn closure(&mut self, object: &Object<'_>) {
        let Some(shared) = strong(object.word(self.maps.layout.function.shared)) else {
            return;
        };
        let known = self.isolate.closures.len();
        if known < MOST_FUNCTIONS || self.isolate.closures.contains_key(&shared) {
            self.isolate.closures.entry(shared).or_default().add(object.size);
        } else {
            self.isolate.other_closures.add(object.size);
        }
    }

    fn suspended(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        let Some(function) = strong(object.word(self.maps.layout.fields)) else {
            return Ok(());
        };
        let shared = if let Some(&shared) = self.functions.get(&function) {
            shared
        } else {
            let at = function + u64::from(self.maps.layout.function.shared);
            let shared = strong(self.maps.peek.word(at)?).unwrap_or(0);
            if self.functions.len() < MOST_FUNCTIONS {
                self.functions.insert(function, shared);
            }
            shared
        };
        if self.isolate.suspended.len() < MOST_FUNCTIONS || self.isolate.suspended.contains_key(&shared) {
            self.isolate.suspended.entry(shared).or_default().add(object.size);
        }
        Ok(())
    }

    /// Elements of a Map's or Set's table: its first element counts them, unless it was replaced by a larger table.
    fn entries(&self, object: &Object<'_>) -> u64 {
        smi(object.word(self.maps.layout.array_data))
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0)
    }
}

impl Visit for Count<'_, '_> {
    fn young_begins(&mut self) {
        self.old_bytes = self.bytes;
    }

    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.size > 8 && object.size < LARGE && self.is_plain(object) {
            self.bytes += object.size;
            self.tally(object.map).add(object.size);
            return Ok(());
        }
        let instance_type = object.info.instance_type;
        if Some(instance_type) == self.tables.free || object.size == 8 {
            self.isolate.free += object.size;
            return Ok(());
        }
        self.bytes += object.size;
        self.tally(object.map).add(object.size);
        let layout = &self.maps.layout;
        let types = &layout.types;
        let mut elements = 0;
        if types.is_function(instance_type) {
            self.closure(object);
        } else if types.generators.contains(&instance_type) {
            self.suspended(object)?;
        } else if instance_type == types.js_array_buffer {
            let bytes = object.word(layout.buffer.byte_length);
            if bytes < 1 << 47 && object.word(layout.buffer.backing_store) != 0 {
                self.isolate.array_buffer_bytes += bytes;
                if self.isolate.buffers.len() < MOST_BUFFERS {
                    let address = object.word(layout.buffer.backing_store);
                    self.isolate.buffers.push((address, bytes));
                }
                self.tally(object.map).bytes += bytes;
            }
        } else if instance_type == types.js_promise {
            // Bits 0 and 1 of the flags are the state, 0 pending (src/objects/js-promise.tq).
            self.isolate.pending_promises +=
                u64::from(smi(object.word(layout.fields + 8)).is_some_and(|flags| flags & 3 == 0));
        } else if Some(instance_type) == self.tables.map {
            elements = self.entries(object);
            self.isolate.map_entries += elements;
        } else if Some(instance_type) == self.tables.set {
            elements = self.entries(object);
            self.isolate.set_entries += elements;
        }
        if object.size >= LARGE && object.slots {
            let elements = if elements > 0 { elements } else { object.size / 8 - 2 };
            let large = Large {
                bytes: object.size,
                elements,
                address: object.address,
                instance_type,
            };
            self.largest.push(std::cmp::Reverse(large));
            if self.largest.len() > LARGEST {
                self.largest.pop();
            }
        }
        Ok(())
    }
}
