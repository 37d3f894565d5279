//! Searches upwards from a sample of objects, one pass over the heap per level, produces the paths that hold them.
//!
//! A pass looks for words that point at the objects of the level below; the object a word lies in is their owner. The
//! search ends where a reader of the source would end it: at a variable of a module, a global, Node's own tables, or
//! where nothing in the heap points at an object (a handle or the stack holds it). Weak references hold nothing.

use std::collections::{BTreeMap, VecDeque};

use crate::graph::owners::{Edge, Owners};
use crate::layout::maps::{MapInfo, Maps};
use crate::layout::refusal::Refusal;
use crate::layout::tables::Tables;
use crate::memory::by_address::ByAddress;
use crate::memory::peek::{STRONG, TAG_MASK};
use crate::walk::heap::Heap;
use crate::walk::walker::{Object, Visit};

/// Levels searched; a path through property arrays and tables takes two for each property.
const MOST_LEVELS: usize = 24;
/// Owners kept of one object, and objects in all.
const MOST_OWNERS: usize = 6;
const MOST_NODES: usize = 1 << 14;
/// Bits of the filter that rejects most words by one load.
const FILTER_BITS: usize = 1 << 16;

/// A way in which sampled objects are held.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// From the root to the objects: `bus in /app/server.js`, `EventEmitter._events`, `.message`, `[]`.
    pub steps: Vec<String>,
    /// Share of the sampled bytes that is held so, 0 to 1.
    pub share: f64,
    /// Whether it begins at something with a name, rather than where the search ended.
    pub rooted: bool,
}

/// How the objects of one row are held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holders {
    /// Objects sampled.
    pub sampled: usize,
    /// Most common first.
    pub paths: Vec<Path>,
}

#[derive(Debug, Default)]
struct Node {
    owners: Vec<Edge>,
    root: bool,
}

/// The objects of the level below, and what was found to own them.
struct Level<'l, 'm> {
    maps: &'l Maps<'m>,
    tables: Tables,
    filter: Vec<u64>,
    nodes: &'l mut ByAddress<Node>,
    /// Objects whose owners this pass looks for.
    wanted: ByAddress<()>,
}

fn filter_bit(address: u64) -> (usize, u64) {
    let bit = (address >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    ((bit / 64) as usize, 1 << (bit % 64))
}

/// How the objects of each group are held: addresses and weights. `progress` is told levels searched.
pub(crate) fn search(
    heap: &mut Heap<'_>,
    groups: &[Vec<(u64, u64)>],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Holders>, Refusal> {
    let mut nodes = ByAddress::<Node>::default();
    let mut frontier: Vec<u64> = groups.iter().flatten().map(|&(address, _)| address).collect();
    for &address in &frontier {
        nodes.entry(address).or_default();
    }
    let mut again = ByAddress::<()>::default();
    for level in 0..MOST_LEVELS {
        progress(level);
        frontier.retain(|address| nodes.get(address).is_some_and(|node| !node.root));
        if frontier.is_empty() || nodes.len() >= MOST_NODES || groups.iter().all(|group| settled(group, &nodes)) {
            break;
        }
        // The process goes on: pages come and go.
        heap.maps.refresh()?;
        let mut owners = pass(heap, &frontier, &mut nodes)?;
        // What held them may have been moving during the pass, as an array that grows is: they are looked for once more.
        owners.extend(
            frontier
                .iter()
                .filter(|address| nodes.get(address).is_some_and(|node| node.owners.is_empty()))
                .filter(|&&address| again.insert(address, ()).is_none()),
        );
        frontier = owners;
    }
    groups.iter().map(|group| paths(heap, group, &nodes)).collect()
}

/// One pass over everything: finds the owners of the frontier, returns those not seen before.
fn pass(heap: &Heap<'_>, frontier: &[u64], nodes: &mut ByAddress<Node>) -> Result<Vec<u64>, Refusal> {
    let mut filter = vec![0; FILTER_BITS / 64];
    for &address in frontier {
        let (word, bit) = filter_bit(address);
        filter[word] |= bit;
    }
    let known: Vec<u64> = nodes.keys().copied().collect();
    let wanted = frontier.iter().map(|&address| (address, ())).collect();
    let mut level = Level {
        maps: &heap.maps,
        tables: heap.tables,
        filter,
        nodes,
        wanted,
    };
    for isolate in heap.maps.pages.heaps() {
        heap.walk(isolate, &mut level, &mut |_| {})?;
    }
    let known: ByAddress<()> = known.into_iter().map(|address| (address, ())).collect();
    let mut found = BTreeMap::<u64, MapInfo>::new();
    for node in frontier.iter().filter_map(|address| nodes.get(address)) {
        found.extend(
            node.owners
                .iter()
                .map(|edge| (edge.owner, edge.map))
                .filter(|(owner, _)| !known.contains_key(owner)),
        );
    }
    for (&owner, &map) in &found {
        let root = Owners(heap).is_root(owner, map)?;
        nodes.entry(owner).or_default().root = root;
    }
    Ok(found.into_keys().collect())
}

/// Whether every object of a group has a path to a root.
fn settled(group: &[(u64, u64)], nodes: &ByAddress<Node>) -> bool {
    group.iter().all(|&(address, _)| route(address, nodes).1)
}

fn paths(heap: &Heap<'_>, group: &[(u64, u64)], nodes: &ByAddress<Node>) -> Result<Holders, Refusal> {
    let owners = Owners(heap);
    let mut weighed = BTreeMap::<(Vec<String>, bool), u64>::new();
    for &(address, weight) in group {
        let (edges, rooted) = route(address, nodes);
        *weighed.entry((owners.steps(&edges)?, rooted)).or_default() += weight;
    }
    let all: u64 = weighed.values().sum();
    let mut paths: Vec<Path> = weighed
        .into_iter()
        .map(|((steps, rooted), weight)| Path {
            steps,
            share: weight as f64 / all as f64,
            rooted,
        })
        .collect();
    paths.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.steps.cmp(&b.steps)));
    Ok(Holders {
        sampled: group.len(),
        paths,
    })
}

/// The shortest way from an object to a root, by its edges from the object upwards; or, when no root was reached, the
/// longest, because it says most.
fn route(from: u64, nodes: &ByAddress<Node>) -> (Vec<Edge>, bool) {
    let mut came = ByAddress::<(u64, Edge)>::default();
    let mut queue = VecDeque::from([from]);
    let mut last = from;
    while let Some(address) = queue.pop_front() {
        let Some(node) = nodes.get(&address) else { continue };
        last = address;
        if node.root {
            break;
        }
        for &edge in &node.owners {
            if edge.owner != from && !came.contains_key(&edge.owner) {
                came.insert(edge.owner, (address, edge));
                queue.push_back(edge.owner);
            }
        }
    }
    let rooted = nodes.get(&last).is_some_and(|node| node.root);
    let mut edges = Vec::new();
    let mut at = last;
    while let Some(&(below, edge)) = came.get(&at) {
        edges.push(edge);
        at = below;
    }
    edges.reverse();
    (edges, rooted)
}

impl Level<'_, '_> {
    #[inline]
    fn scan(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) {
        let weak_keys = Some(object.info.instance_type) == self.tables.weak;
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            if word & TAG_MASK != STRONG {
                continue;
            }
            let (at, bit) = filter_bit(word - STRONG);
            // A weak table's entries are pairs behind five words; the first of a pair is the weak key.
            if self.filter[at] & bit != 0 && !(weak_keys && (first + index) % 2 == 1) {
                self.found(object, (first + index) as u64 * 8, word - STRONG);
            }
        }
    }

    fn found(&mut self, object: &Object<'_>, offset: u64, target: u64) {
        if offset > 0
            && target != object.address
            && self.wanted.contains_key(&target)
            && let Some(node) = self.nodes.get_mut(&target)
            && node.owners.len() < MOST_OWNERS
            && node.owners.iter().all(|edge| edge.owner != object.address)
        {
            node.owners.push(Edge {
                owner: object.address,
                offset,
                map: object.info,
            });
        }
    }
}

impl Visit for Level<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.slots && self.maps.holds(object.info.instance_type) {
            self.scan(object, 0, object.words);
        }
        Ok(())
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        if self.maps.holds(object.info.instance_type) {
            self.scan(object, first, words);
        }
        Ok(())
    }
}
