//! Reads what a JavaScript object keeps in stores of its own, produces the edges by which V8's snapshots lead past the stores:
//! properties, elements, the prototype.

use std::io::Write;

use crate::export::objects::Objects;
use crate::export::out::{EdgeType, Out};
use crate::export::plan::Plan;
use crate::export::strings::Strings;
use crate::layout::refusal::Refusal;
use crate::memory::peek::{STRONG, TAG_MASK, smi, strong};
use crate::walk::heap::Heap;

/// Dictionaries with more entries are used as collections: their keys may be data.
const LARGEST_NAMED_DICTIONARY: u64 = 64;
/// Words read at once.
const CHUNK: usize = 1 << 13;
/// Words of an entry of a dictionary: key, value, details.
const ENTRY: usize = 3;

/// Is handed a group of words, and which it is.
type Group<'g> = dyn FnMut(u64, &[u64]) -> Result<(), Refusal> + 'g;

/// Follows the stores of objects. Each store is one object's as a rule: where a heap says otherwise, no more words of stores
/// are followed than the heap has.
pub(crate) struct Extras {
    /// Words that may still be followed.
    pub(crate) budget: u64,
    buffer: Vec<u8>,
}

impl Extras {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget,
            buffer: vec![0; CHUNK * 8],
        }
    }

    /// Writes the edges of a JavaScript object's stores; returns their number.
    pub(crate) fn write<W: Write, N: Write, E: Write>(
        &mut self,
        (heap, objects): (&Heap<'_>, &Objects),
        strings: &mut Strings<'_, W>,
        out: &mut Out<N, E>,
        plan: &Plan,
        words: &[[u8; 8]],
    ) -> Result<u32, Refusal> {
        let layout = &heap.maps.layout;
        let word = |offset: u32| {
            words
                .get(offset as usize / 8)
                .map_or(0, |word| u64::from_le_bytes(*word))
        };
        let mut count = 0;
        if let Some(to) = plan.prototype.and_then(|prototype| objects.ordinal(prototype)) {
            let name = strings.name("__proto__");
            out.edge(EdgeType::Property, name, to);
            count += 1;
        }
        if let Some(store) = strong(word(layout.properties)) {
            if plan.dictionary {
                count += self.dictionary((heap, objects), strings, out, store)?;
            } else if !plan.outside.is_empty() && self.spend(plan.outside.len() as u64) {
                for &(index, name) in &plan.outside {
                    let value = heap.maps.peek.word(store + u64::from(layout.array_data) + 8 * index)?;
                    count += edge(objects, out, EdgeType::Property, name, value);
                }
            }
        }
        if let Some(store) = strong(word(layout.properties + 8)) {
            count += self.elements((heap, objects), out, store)?;
        }
        Ok(count)
    }

    fn spend(&mut self, words: u64) -> bool {
        let left = self.budget.checked_sub(words);
        self.budget = left.unwrap_or(self.budget);
        left.is_some()
    }

    /// Slots of an array, when it is one of this type; none of one that is larger than its page.
    fn slots(&self, heap: &Heap<'_>, store: u64, wanted: Option<u16>) -> Result<u64, Refusal> {
        let layout = &heap.maps.layout;
        let Some(page) = heap.maps.pages.containing(store) else {
            return Ok(0);
        };
        if wanted.is_none() || heap.maps.of(store)?.map(|map| map.instance_type) != wanted {
            return Ok(0);
        }
        let data = store + u64::from(layout.array_data);
        let slots = smi(heap.maps.peek.word(data - 8)?).and_then(|slots| u64::try_from(slots).ok());
        Ok(slots
            .filter(|slots| slots * 8 <= page.end.saturating_sub(data))
            .unwrap_or(0))
    }

    fn elements<N: Write, E: Write>(
        &mut self,
        (heap, objects): (&Heap<'_>, &Objects),
        out: &mut Out<N, E>,
        store: u64,
    ) -> Result<u32, Refusal> {
        let slots = self.slots(heap, store, Some(heap.maps.layout.types.fixed_array))?;
        if slots == 0 || !self.spend(slots) {
            return Ok(0);
        }
        let data = store + u64::from(heap.maps.layout.array_data);
        let mut count = 0;
        self.each(heap, data, slots, 1, &mut |index, words| {
            count += edge(objects, out, EdgeType::Element, index as u32, words[0]);
            Ok(())
        })?;
        Ok(count)
    }

    fn dictionary<W: Write, N: Write, E: Write>(
        &mut self,
        (heap, objects): (&Heap<'_>, &Objects),
        strings: &mut Strings<'_, W>,
        out: &mut Out<N, E>,
        store: u64,
    ) -> Result<u32, Refusal> {
        let layout = &heap.maps.layout;
        let slots = self.slots(heap, store, heap.tables.names)?;
        if slots == 0 || !self.spend(slots) {
            return Ok(0);
        }
        let data = store + u64::from(layout.array_data);
        let elements = smi(heap.maps.peek.word(data)?).and_then(|elements| u64::try_from(elements).ok());
        let is_data = elements.is_none_or(|elements| elements > LARGEST_NAMED_DICTIONARY);
        let before = 3 + u64::from(layout.dictionary_prefix);
        let entries = slots.saturating_sub(before) / ENTRY as u64;
        let mut count = 0;
        self.each(heap, data + 8 * before, entries, ENTRY, &mut |_, words| {
            let [key, value, ..] = *words else { return Ok(()) };
            // What stands in the gaps is no key.
            let held = value & TAG_MASK == STRONG && objects.ordinal(value - STRONG).is_some();
            if held && key & TAG_MASK == STRONG && objects.ordinal(key - STRONG).is_some() {
                let name = strings.key(&heap.maps, key, is_data)?;
                count += edge(objects, out, EdgeType::Property, name, value);
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// Hands on groups of so many words each, and which it is.
    fn each(
        &mut self,
        heap: &Heap<'_>,
        from: u64,
        groups: u64,
        words: usize,
        then: &mut Group<'_>,
    ) -> Result<(), Refusal> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let at_once = (CHUNK / words) as u64;
        let mut group = Vec::with_capacity(words);
        for first in (0..groups).step_by(at_once as usize) {
            let bytes = &mut buffer[..((groups - first).min(at_once) as usize) * words * 8];
            heap.maps.peek.memory.read(from + first * words as u64 * 8, bytes)?;
            for (index, chunk) in bytes.as_chunks::<8>().0.chunks_exact(words).enumerate() {
                group.clear();
                group.extend(chunk.iter().map(|word| u64::from_le_bytes(*word)));
                then(first + index as u64, &group)?;
            }
        }
        self.buffer = buffer;
        Ok(())
    }
}

fn edge<N: Write, E: Write>(objects: &Objects, out: &mut Out<N, E>, kind: EdgeType, name: u32, word: u64) -> u32 {
    if word & TAG_MASK != STRONG {
        return 0;
    }
    let Some(to) = objects.ordinal(word - STRONG) else {
        return 0;
    };
    out.edge(kind, name, to);
    1
}
