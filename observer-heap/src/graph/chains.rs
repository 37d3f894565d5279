//! Climbs chains: reads the objects of a few maps, produces for each of the objects searched for the head of the chain it hangs
//! at, however long the chain is.
//!
//! A list whose newest link holds all older ones, a promise's reactions, a function that wraps the one before: link by link such
//! a chain takes as many passes over the heap as it has links. Here the links and their pointers at one another are collected
//! in two passes, and climbed without the heap.

use crate::graph::filter::Filter;
use crate::graph::live::Live;
use crate::graph::owners::{Edge, Owners};
use crate::graph::ways::{Node, route};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::walk::heap::{Heap, Order};
use crate::walk::walker::{Object, Visit};

/// Objects of one map on one way upwards from which on they are links of a chain.
const CHAIN: usize = 3;
/// Ways looked at for chains, and maps of which links are.
const MOST_WAYS: usize = 64;
const MOST_MAPS: usize = 4;
/// Links, 8 bytes each, and pointers from one at another, 12 bytes each: two of a link, where each has the one before as well.
/// Chains of more are not climbed.
const MOST_LINKS: usize = 1 << 18;
const MOST_POINTERS: usize = 2 * MOST_LINKS;
/// Pointers at links from elsewhere, 56 bytes each, and the filter that rejects most words: 2 to this power bits.
const MOST_HOLDERS: usize = 1 << 16;
const FILTER_BITS: u32 = 18;
/// Heads kept of one link.
const MOST_HEADS: usize = 4;

/// A pointer from one link at another, by their numbers in ascending order of their addresses.
#[derive(Clone, Copy)]
struct Pointer {
    target: u32,
    owner: u32,
    offset: u32,
}

/// The maps, by address, of which chains are made on the ways up from these objects, which led to no root.
pub(crate) fn maps(samples: impl Iterator<Item = u64>, nodes: &ByAddress<Node>) -> Vec<u64> {
    let mut maps = Vec::new();
    let ways = samples.map(|sample| route(sample, nodes));
    for (way, _) in ways.filter(|(_, rooted)| !rooted).take(MOST_WAYS) {
        for edge in &way {
            let alike = way.iter().filter(|other| other.map.address == edge.map.address);
            if maps.len() < MOST_MAPS && !maps.contains(&edge.map.address) && alike.count() >= CHAIN {
                maps.push(edge.map.address);
            }
        }
    }
    maps
}

/// Climbs from all links among the nodes to the heads of their chains; returns what is to be searched for from there: heads, and
/// what holds them.
///
/// The program goes on: a chain has another head by the time its old one's owner is looked for. What holds a head is therefore
/// taken from the same walks: of a young one, what held it when the links were collected.
pub(crate) fn climb(
    heap: &Heap<'_>,
    live: Option<&Live>,
    maps: &[u64],
    nodes: &mut ByAddress<Node>,
) -> Result<Vec<u64>, Refusal> {
    let mut found = Links {
        heap,
        maps,
        links: Vec::new(),
        slots: Vec::new(),
        filter: Filter::new(),
        pointers: None,
        holders: Vec::new(),
    };
    for pointers in [None, Some(Vec::new())] {
        found.links.sort_unstable();
        let links = &found.links;
        for &link in links {
            found.filter.insert(link);
        }
        found.slots.retain(|(_, target)| links.binary_search(target).is_ok());
        found.slots.sort_unstable();
        found.pointers = pointers;
        for isolate in heap.maps.pages.heaps() {
            heap.walk(isolate, Order::Ascending, &mut found, &mut |_| {})?;
        }
        if found.is_full() {
            return Ok(Vec::new());
        }
    }
    let Links {
        links,
        pointers,
        mut holders,
        ..
    } = found;
    let mut pointers = pointers.unwrap_or_default();
    pointers.sort_unstable_by_key(|pointer| (pointer.target, pointer.owner));
    holders.retain(|(_, edge)| live.is_none_or(|live| !live.is_dead(edge.owner)));
    let held: ByAddress<Edge> = holders.into_iter().collect();
    let mut climb = Climb {
        heap,
        live,
        links: &links,
        pointers,
        held: &held,
        heads: ByAddress::default(),
    };
    let mut starts: Vec<u64> = nodes
        .iter()
        .filter(|(address, node)| !node.root && links.binary_search(address).is_ok())
        .map(|(&address, _)| address)
        .collect();
    starts.sort_unstable();
    let mut open = Vec::new();
    let owns = |nodes: &mut ByAddress<Node>, owned: u64, edge: Edge| {
        let owners = &mut nodes.entry(owned).or_default().owners;
        if edge.owner != owned && !owners.iter().any(|known| known.owner == edge.owner) {
            owners.push(edge);
        }
    };
    for start in starts {
        for (edge, root) in climb.from(start)? {
            let head = nodes.entry(edge.owner).or_default();
            head.root |= root;
            head.chain = !root;
            owns(nodes, start, edge);
            if root {
                continue;
            }
            open.push(edge.owner);
            if let Some(&holder) = held.get(&edge.owner) {
                owns(nodes, edge.owner, holder);
                let root = Owners(heap).is_root(holder.owner, holder.map)?;
                nodes.entry(holder.owner).or_default().root |= root;
                if !root {
                    open.push(holder.owner);
                }
            }
        }
    }
    open.sort_unstable();
    open.dedup();
    Ok(open)
}

/// Collects links, and old slots that point at young ones; then, once they are known, pointers from one link at another, and
/// what these slots belong to.
struct Links<'l, 'm> {
    heap: &'l Heap<'m>,
    maps: &'l [u64],
    links: Vec<u64>,
    /// Slots, and what they point at.
    slots: Vec<(u64, u64)>,
    filter: Filter<FILTER_BITS>,
    pointers: Option<Vec<Pointer>>,
    holders: Vec<(u64, Edge)>,
}

impl Links<'_, '_> {
    fn is_full(&self) -> bool {
        self.links.len() >= MOST_LINKS || self.pointers.as_ref().is_some_and(|found| found.len() >= MOST_POINTERS)
    }

    fn is_link(&self, address: u64) -> bool {
        self.filter.may_hold(address) && self.links.binary_search(&address).is_ok()
    }

    fn hold(&mut self, object: &Object<'_>) {
        let instance_type = object.info.instance_type;
        if !object.slots || !self.heap.maps.holds(instance_type) || self.heap.maps.is_weak(instance_type) {
            return;
        }
        for (index, word) in object.words.iter().enumerate().skip(1) {
            let word = u64::from_le_bytes(*word);
            if word & TAG_MASK == STRONG && self.is_link(word - STRONG) && self.holders.len() < MOST_HOLDERS {
                let edge = Edge {
                    owner: object.address,
                    offset: index as u64 * 8,
                    map: object.info,
                };
                self.holders.push((word - STRONG, edge));
            }
        }
        let from = self.slots.partition_point(|(slot, _)| *slot < object.address);
        let inside = self.slots[from..].iter();
        for &(slot, target) in inside.take_while(|(slot, _)| *slot < object.address + object.size) {
            let edge = Edge {
                owner: object.address,
                offset: slot - object.address,
                map: object.info,
            };
            self.holders.push((target, edge));
        }
    }
}

impl Visit for Links<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if self.is_full() {
            return Ok(());
        }
        if !self.maps.contains(&object.info.address) {
            if self.pointers.is_some() {
                self.hold(object);
            }
            return Ok(());
        }
        let Some(pointers) = &mut self.pointers else {
            self.links.push(object.address);
            return Ok(());
        };
        let Ok(owner) = self.links.binary_search(&object.address) else {
            return Ok(());
        };
        for (index, word) in object.words.iter().enumerate().skip(1) {
            let word = u64::from_le_bytes(*word);
            if word & TAG_MASK == STRONG
                && word - STRONG != object.address
                && let Ok(target) = self.links.binary_search(&(word - STRONG))
            {
                pointers.push(Pointer {
                    target: target as u32,
                    owner: owner as u32,
                    offset: index as u32 * 8,
                });
            }
        }
        Ok(())
    }

    fn old_slots(&mut self, slots: &[(u64, u64)]) {
        if self.pointers.is_none() {
            let strong = slots.iter().filter(|(_, word)| word & TAG_MASK == STRONG);
            self.slots.extend(strong.map(|&(slot, word)| (slot, word - STRONG)));
        }
    }
}

struct Climb<'c, 'm> {
    heap: &'c Heap<'m>,
    live: Option<&'c Live>,
    /// By address.
    links: &'c [u64],
    /// By target.
    pointers: Vec<Pointer>,
    /// What else holds a link.
    held: &'c ByAddress<Edge>,
    /// The heads above each link that was climbed, with the pointer by which they hold the chain, and whether they are roots.
    heads: ByAddress<Vec<(Edge, bool)>>,
}

impl Climb<'_, '_> {
    fn from(&mut self, start: u64) -> Result<Vec<(Edge, bool)>, Refusal> {
        if let Some(known) = self.heads.get(&start) {
            return Ok(known.clone());
        }
        let mut heads: Vec<(Edge, bool)> = Vec::new();
        let mut seen = ByAddress::<()>::default();
        seen.insert(start, ());
        let mut open: Vec<(u64, Option<Edge>)> = vec![(start, None)];
        while let Some((link, by)) = open.pop() {
            if let Some(known) = self.heads.get(&link) {
                heads.extend(known.iter().copied());
                continue;
            }
            if let Some(edge) = by
                && Owners(self.heap).is_root(link, edge.map)?
            {
                heads.push((edge, true));
                continue;
            }
            let number = self.links.binary_search(&link).unwrap_or(usize::MAX) as u32;
            let from = self.pointers.partition_point(|pointer| pointer.target < number);
            let above = self.pointers[from..]
                .iter()
                .take_while(|pointer| pointer.target == number);
            let mut any = false;
            for pointer in above {
                any = true;
                let owner = self.links[pointer.owner as usize];
                if seen.insert(owner, ()).is_none()
                    && let Some(map) = self.heap.maps.of(owner)?
                {
                    let edge = Edge {
                        owner,
                        offset: u64::from(pointer.offset),
                        map,
                    };
                    open.push((owner, Some(edge)));
                }
            }
            if let Some(edge) = by.filter(|_| !any || self.held.contains_key(&link)) {
                heads.push((edge, false));
            }
        }
        // Of several, a root says most, then one whose owner is known. What was not held at the reading may have come to be
        // since, or be garbage.
        let live = self.live;
        let dead = |address: u64| live.is_some_and(|live| live.is_dead(address));
        heads.sort_by_key(|(edge, root)| {
            (
                !root,
                !self.held.contains_key(&edge.owner),
                dead(edge.owner),
                edge.owner,
            )
        });
        heads.dedup_by_key(|(edge, _)| edge.owner);
        heads.truncate(MOST_HEADS);
        for link in seen.into_keys() {
            self.heads.entry(link).or_insert_with(|| heads.clone());
        }
        Ok(heads)
    }
}
