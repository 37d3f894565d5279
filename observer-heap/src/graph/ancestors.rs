//! Searches upwards from objects, over the whole heap, produces the graph of what owns them.
//!
//! A pass looks for words that point at the objects searched for; the object a word lies in is their owner, and is
//! searched for from then on in the same pass. Passes alternate between ascending and descending pages, so that most owners
//! are met in the pass that found what they own. The search ends where a reader of the source would end it: at a variable
//! of a module, a global, Node's own tables, or where nothing in the heap points at an object (a handle or the stack
//! holds it). Weak references own nothing.

use crate::graph::chains;
use crate::graph::filter::Filter;
use crate::graph::live::Live;
use crate::graph::owners::{Edge, Owners};
use crate::graph::targets::Wanted;
use crate::graph::ways::Node;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::Page;
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::walk::heap::{Heap, Order};
use crate::walk::walker::{Object, Visit};

/// Passes over the heap. Most read a part of it: pages that may own what is searched for.
const MOST_PASSES: usize = 12;
/// Passes after which chains are climbed where there are any, and how often: their heads change meanwhile.
const CLIMBED: usize = 3;
const MOST_CLIMBS: usize = 3;
/// Pages visited more than once in a pass, because owners stand beside what they own: links of a list.
const MOST_AGAIN: usize = 1 << 11;
/// Owners kept of one object: of one kind, of all, and with those whose kind was not met before. What is queued refers to its queue, each
/// by a scope or an object like all the others': what holds the queue is one among them, of another kind.
const MOST_OF_A_KIND: u8 = 8;
const MOST_OWNERS: usize = 32;
const MOST_KINDS: usize = 64;
/// Objects and owners in all.
const MOST_NODES: usize = 1 << 14;
const MOST_EDGES: usize = 1 << 16;
/// Objects of one map that are followed however far they are from what was searched for, and steps within which more of them are.
/// The links of a list hold one another from neighbour to neighbour: all of a long one would leave room for nothing else.
const MOST_ALIKE: u32 = 1 << 11;
const NEAR: u8 = 8;
/// Of the filter that rejects most words: 2 to this power.
const FILTER_BITS: u32 = 16;

/// Objects, and what owns them, up to roots.
#[derive(Debug, Default)]
pub(crate) struct Ancestors {
    pub(crate) nodes: ByAddress<Node>,
    /// How many of them are of each map, by its address.
    alike: ByAddress<u32>,
}

impl Ancestors {
    /// Searches upwards from these objects; what is dead by `live` owns nothing. `enough` is asked after each pass; `progress` is told passes done.
    pub(crate) fn of(
        heap: &mut Heap<'_>,
        live: Option<&Live>,
        objects: impl Iterator<Item = u64>,
        enough: impl Fn(&Self) -> bool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Refusal> {
        let mut ancestors = Self::default();
        let searched: Vec<u64> = objects.collect();
        for &address in &searched {
            let root = match heap.maps.of(address)? {
                Some(map) => Owners(heap).is_root(address, map)?,
                None => false,
            };
            ancestors.nodes.entry(address).or_default().root = root;
        }
        let is_open = |address: &&u64| ancestors.nodes.get(address).is_some_and(|node| !node.root);
        let mut frontier: Vec<u64> = searched.iter().filter(is_open).copied().collect();
        let mut orphans = Vec::new();
        let mut again = ByAddress::<()>::default();
        let mut climbs = MOST_CLIMBS;
        for pass in 0..MOST_PASSES {
            progress(pass);
            let full = ancestors.nodes.len() >= MOST_NODES;
            if enough(&ancestors) {
                break;
            }
            if frontier.is_empty() {
                frontier.append(&mut orphans);
            }
            if climbs > 0 && (pass >= CLIMBED || full || frontier.is_empty()) {
                climbs -= 1;
                let maps = chains::maps(searched.iter().copied(), &ancestors.nodes);
                if !maps.is_empty() {
                    heap.maps.refresh()?;
                    frontier.extend(chains::climb(heap, live, &maps, &mut ancestors.nodes)?);
                    if enough(&ancestors) {
                        break;
                    }
                }
            }
            if frontier.is_empty() || full {
                break;
            }
            // The process goes on: pages come and go.
            heap.maps.refresh()?;
            let order = if pass % 2 == 0 {
                Order::Ascending
            } else {
                Order::Descending
            };
            let found = ancestors.pass(heap, live, (&frontier, &again), order)?;
            // What held them may have been moving during the pass, as an array that grows is: they are looked for once more, on all
            // pages, when nothing else is left to search for.
            orphans.extend(
                frontier
                    .iter()
                    .filter(|address| ancestors.nodes.get(address).is_some_and(|node| node.owners.is_empty()))
                    .filter(|&&address| again.insert(address, ()).is_none()),
            );
            frontier = found;
        }
        Ok(ancestors)
    }

    /// One pass over everything: finds the owners of the frontier and most of theirs; returns those that were not searched
    /// for from the pass's beginning. What is in `again` may be owned by what came to be since the reading.
    fn pass(
        &mut self,
        heap: &Heap<'_>,
        live: Option<&Live>,
        (frontier, again): (&[u64], &ByAddress<()>),
        order: Order,
    ) -> Result<Vec<u64>, Refusal> {
        let mut pass = Pass {
            heap,
            live,
            owners: Owners(heap),
            filter: Filter::new(),
            nodes: &mut self.nodes,
            alike: &mut self.alike,
            wanted: Wanted::new(),
            found: Vec::new(),
            seen: 0,
            edges: MOST_EDGES,
            again: MOST_AGAIN,
            orphans: again,
            all: frontier.iter().any(|address| again.contains_key(address)),
        };
        for &address in frontier {
            pass.want(address);
        }
        for isolate in heap.maps.pages.heaps() {
            heap.walk(isolate, order, &mut pass, &mut |_| {})?;
        }
        Ok(pass.found)
    }
}

struct Pass<'p, 'm> {
    heap: &'p Heap<'m>,
    live: Option<&'p Live>,
    owners: Owners<'p, 'm>,
    filter: Filter<FILTER_BITS>,
    nodes: &'p mut ByAddress<Node>,
    alike: &'p mut ByAddress<u32>,
    /// Objects whose owners are looked for.
    wanted: Wanted,
    /// Owners that came to it during the pass.
    found: Vec<u64>,
    /// Owners that may still be kept in this pass.
    edges: usize,
    /// How many of these when the page began.
    seen: usize,
    /// Pages that may still be visited again.
    again: usize,
    /// Objects of which no owner was found that was held at the reading: it may have come to be since.
    orphans: &'p ByAddress<()>,
    /// All pages are read: such an owner may stand in any.
    all: bool,
}

impl Pass<'_, '_> {
    fn want(&mut self, address: u64) {
        self.filter.insert(address);
        self.wanted.insert(address);
    }

    #[inline]
    fn scan(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        let weak_keys = Some(object.info.instance_type) == self.heap.tables.weak;
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            if word & TAG_MASK != STRONG {
                continue;
            }
            // A weak table's entries are pairs behind five words; the first of a pair is the weak key.
            if self.filter.may_hold(word - STRONG) && !(weak_keys && (first + index) % 2 == 1) {
                self.owned(object, (first + index) as u64 * 8, word - STRONG)?;
            }
        }
        Ok(())
    }

    fn owned(&mut self, object: &Object<'_>, offset: u64, target: u64) -> Result<(), Refusal> {
        if offset == 0 || target == object.address || !self.wanted.contains(target) {
            return Ok(());
        }
        let Some(node) = self.nodes.get_mut(&target) else {
            return Ok(());
        };
        // Contexts of all functions have one map; those of one function share what describes its variables.
        let layout = &self.heap.maps.layout;
        let kind = if layout.types.is_context(object.info.instance_type) {
            object.word(layout.array_data)
        } else {
            object.info.address
        };
        let known = node.kinds.iter().position(|(known, _)| *known == kind);
        let alike = known.map_or(0, |at| node.kinds[at].1);
        if self.edges == 0
            || alike >= MOST_OF_A_KIND
            || alike > 0 && node.owners.len() >= MOST_OWNERS
            || node.owners.iter().any(|edge| edge.owner == object.address)
            || self
                .live
                .is_some_and(|live| live.is_dead(object.address) && !self.orphans.contains_key(&target))
        {
            return Ok(());
        }
        self.edges -= 1;
        let steps = node.steps.saturating_add(1);
        node.owners.push(Edge {
            owner: object.address,
            offset,
            map: object.info,
        });
        match known {
            Some(at) => node.kinds[at].1 += 1,
            None => node.kinds.push((kind, 1)),
        }
        if node.owners.len() >= MOST_KINDS {
            self.wanted.remove(target);
        }
        let alike = self.alike.entry(object.info.address).or_default();
        if !self.nodes.contains_key(&object.address)
            && self.nodes.len() < MOST_NODES
            && (*alike < MOST_ALIKE || steps <= NEAR)
        {
            *alike += 1;
            let root = self.owners.is_root(object.address, object.info)?;
            let node = self.nodes.entry(object.address).or_default();
            (node.root, node.steps) = (root, steps);
            if !root {
                self.want(object.address);
                self.found.push(object.address);
            }
        }
        Ok(())
    }
}

impl Visit for Pass<'_, '_> {
    fn reads(&mut self, page: &Page) -> bool {
        self.all || self.live.is_none_or(|live| live.may_own(page, &self.wanted))
    }

    fn points_at_young(&mut self, page: &Page) -> bool {
        self.all || self.live.is_none_or(|live| live.points_at_young(page))
    }

    /// Of most pages no word points at what is looked for: their objects need not be told apart.
    fn wants(&mut self, _: &Page, words: &[[u8; 8]]) -> bool {
        words.iter().any(|word| {
            let word = u64::from_le_bytes(*word);
            word & TAG_MASK == STRONG && self.filter.may_hold(word - STRONG) && self.wanted.contains(word - STRONG)
        })
    }

    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.slots && self.heap.maps.holds(object.info.instance_type) {
            self.scan(object, 0, object.words)?;
        }
        Ok(())
    }

    fn again(&mut self) -> bool {
        let grew = self.found.len() > self.seen && self.again > 0;
        self.seen = self.found.len();
        self.again -= usize::from(grew);
        grew
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        if self.heap.maps.holds(object.info.instance_type) {
            self.scan(object, first, words)?;
        }
        Ok(())
    }
}
