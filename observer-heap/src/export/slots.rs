//! Reads the slots of an object, produces its edges: what they are called, and whether they hold.

use std::io::Write;

use crate::export::objects::Objects;
use crate::export::out::{EdgeType, Out};
use crate::export::plan::{Plan, Slots};
use crate::export::strings::Strings;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::Space;
use crate::memory::peek::{STRONG, TAG_MASK, smi, strong};
use crate::walk::heap::Heap;

/// A weak pointer.
const WEAK: u64 = 3;
/// Scopes whose variables are kept; when there are more, all are looked up anew.
const MOST_SCOPES: usize = 1 << 12;
/// Variables named of one scope.
const MOST_VARIABLES: u64 = 1 << 12;

/// The object that a word points at, and whether it is held by that.
fn target(objects: &Objects, word: u64) -> Option<(u32, bool)> {
    let tag = word & TAG_MASK;
    if tag != STRONG && tag != WEAK {
        return None;
    }
    Some((objects.ordinal(word & !TAG_MASK)?, tag == STRONG))
}

/// Whether a word leads strongly to where objects are, and to none of them. `undefined`, holes and the like never change place.
fn is_lost(objects: &Objects, word: u64) -> bool {
    word & TAG_MASK == STRONG && matches!(objects.space(word - STRONG), Some(Space::Old | Space::Young))
}

/// Names of the variables of scopes.
#[derive(Default)]
pub(crate) struct Scopes(ByAddress<Vec<u32>>);

impl Scopes {
    /// The names of a context's slots from the first variable on, and which slot that is.
    fn of<W: Write>(
        &mut self,
        heap: &Heap<'_>,
        strings: &mut Strings<'_, W>,
        words: &[[u8; 8]],
    ) -> Result<(usize, &[u32]), Refusal> {
        let layout = &heap.maps.layout;
        let header = layout.array_data as usize / 8;
        let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
        let Some(scope) = strong(word(header)) else {
            return Ok((0, &[]));
        };
        let is_scope = heap
            .maps
            .of(scope)?
            .is_some_and(|map| map.instance_type == layout.types.scope_info);
        let slots = smi(word(header - 1)).and_then(|slots| u64::try_from(slots).ok());
        let (Some(slots), true) = (slots, is_scope) else {
            return Ok((0, &[]));
        };
        let (Some(first), Some(locals)) = (heap.maps.first_variable(scope, slots)?, heap.maps.scope_locals(scope)?)
        else {
            return Ok((0, &[]));
        };
        if !self.0.contains_key(&scope) {
            if self.0.len() >= MOST_SCOPES {
                self.0.clear();
            }
            let mut names = Vec::new();
            for index in 0..locals.min(MOST_VARIABLES) {
                let name = match heap.maps.scope_local(scope, index)? {
                    Some(name) => heap.maps.property(name)?,
                    None => None,
                };
                names.push(strings.name(name.as_deref().unwrap_or("(a variable)")));
            }
            self.0.insert(scope, names);
        }
        let names = self.0.get(&scope).map_or(&[][..], Vec::as_slice);
        Ok((header + first as usize, names))
    }
}

/// Writes the edges of these words of an object, the first of which has this index; returns their number.
#[expect(
    clippy::too_many_arguments,
    reason = "what is read, what is written, and what is remembered in between"
)]
pub(crate) fn write<W: Write, N: Write, E: Write>(
    heap: &Heap<'_>,
    objects: &Objects,
    scopes: &mut Scopes,
    strings: &mut Strings<'_, W>,
    out: &mut Out<N, E>,
    plan: &Plan,
    first: usize,
    words: &[[u8; 8]],
) -> Result<u32, Refusal> {
    let weak = strings.name("(weak)");
    let map = strings.name("map");
    let context = match plan.slots {
        Slots::Context if first == 0 => scopes.of(heap, strings, words)?,
        _ => (0, &[][..]),
    };
    let header = heap.maps.layout.array_data as usize / 8;
    let mut count = 0;
    for (at, word) in words.iter().enumerate() {
        let index = first + at;
        let word = u64::from_le_bytes(*word);
        let Some((to, strong)) = target(objects, word) else {
            out.lost += u64::from(is_lost(objects, word));
            continue;
        };
        let hidden = (EdgeType::Hidden, index as u32);
        let (kind, name) = match &plan.slots {
            _ if index == 0 => (EdgeType::Internal, map),
            Slots::Weak => (EdgeType::Weak, weak),
            Slots::WeakTable if !index.is_multiple_of(2) => (EdgeType::Weak, weak),
            Slots::Elements | Slots::WeakTable => match index.checked_sub(header) {
                Some(element) => (EdgeType::Element, element as u32),
                None => hidden,
            },
            Slots::Named(names) => names.get(index).copied().flatten().unwrap_or(hidden),
            Slots::Context if index == header => (EdgeType::Internal, strings.name("scope_info")),
            Slots::Context if index == header + 1 => (EdgeType::Internal, strings.name("previous")),
            Slots::Context => {
                let (from, names) = context;
                let name = index.checked_sub(from).and_then(|at| names.get(at)).copied();
                name.map_or(hidden, |name| (EdgeType::Context, name))
            }
        };
        let (kind, name) = match kind {
            // Of a weak one, the type says that it holds nothing; it has a name, where others have numbers.
            EdgeType::Hidden | EdgeType::Element if !strong => (EdgeType::Weak, weak),
            _ if !strong => (EdgeType::Weak, name),
            kind => (kind, name),
        };
        out.edge(kind, name, to);
        count += 1;
    }
    Ok(count)
}
