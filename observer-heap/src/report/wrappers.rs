//! Reads objects that keep the address of a native object in an embedder slot, produces how these are held.
//!
//! A C++ object that JavaScript sees (Node's `BaseObject`) has an object of V8's that holds its address in an embedder slot, as a
//! word that looks like a small integer (v8.h, `SetAlignedPointerInInternalField`).

use crate::graph::live::Live;
use crate::graph::retainers::{Holders, search};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::walk::heap::{Heap, Order};
use crate::walk::walker::{Object, Visit};

/// Words of an object with embedder slots; Node's have two slots and up to six more words.
const WORDS: usize = 16;

/// The JavaScript side of some native objects.
#[derive(Debug, Clone, Default)]
pub struct Wrapped {
    /// How many of them an object of the heap wraps that is held.
    pub count: u64,
    /// How those are held.
    pub held: Holders,
}

pub(crate) fn wrapped(
    heap: &mut Heap<'_>,
    live: Option<&Live>,
    natives: &[Vec<u64>],
    each: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Wrapped>, Refusal> {
    let mut found = Found {
        live,
        group: ByAddress::default(),
        wrappers: vec![Vec::new(); natives.len()],
        range: (u64::MAX, 0),
    };
    for (group, addresses) in natives.iter().enumerate() {
        for &address in addresses {
            found.group.insert(address, group);
            found.range = (found.range.0.min(address), found.range.1.max(address));
        }
    }
    for isolate in heap.maps.pages.heaps() {
        heap.walk(isolate, Order::Ascending, &mut found, &mut |_| {})?;
    }
    let wrappers = found.wrappers;
    let groups: Vec<Vec<(u64, u64)>> = wrappers
        .iter()
        .map(|wrappers| {
            let step = wrappers.len().div_ceil(each.max(1)).max(1);
            wrappers.iter().step_by(step).map(|&address| (address, 1)).collect()
        })
        .collect();
    let held = search(heap, live, &groups, progress)?;
    Ok(wrappers
        .iter()
        .zip(held)
        .map(|(wrappers, held)| Wrapped {
            count: wrappers.len() as u64,
            held,
        })
        .collect())
}

struct Found<'l> {
    live: Option<&'l Live>,
    group: ByAddress<usize>,
    wrappers: Vec<Vec<u64>>,
    range: (u64, u64),
}

impl Visit for Found<'_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.words.len() > WORDS || object.size > 8 * WORDS as u64 {
            return Ok(());
        }
        for word in object.words.iter().skip(3) {
            let word = u64::from_le_bytes(*word);
            if word & 1 == 0
                && (self.range.0..=self.range.1).contains(&word)
                && let Some(&group) = self.group.get(&word)
                && !self.live.is_some_and(|live| live.is_dead(object.address))
            {
                self.wrappers[group].push(object.address);
                break;
            }
        }
        Ok(())
    }
}
