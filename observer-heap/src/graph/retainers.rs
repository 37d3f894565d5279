//! Reads the graph of owners of sampled objects, produces the paths by which they are held, in words.

use std::collections::BTreeMap;

use crate::graph::ancestors::Ancestors;
use crate::graph::live::Live;
use crate::graph::owners::Owners;
use crate::graph::ways::{Node, route};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::walk::heap::Heap;

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

/// How the objects of each group are held: addresses and weights. `progress` is told passes over the heap.
pub(crate) fn search(
    heap: &mut Heap<'_>,
    live: Option<&Live>,
    groups: &[Vec<(u64, u64)>],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Holders>, Refusal> {
    let ancestors = Ancestors::of(
        heap,
        live,
        groups.iter().flatten().map(|&(address, _)| address),
        |ancestors| groups.iter().all(|group| settled(group, &ancestors.nodes)),
        progress,
    )?;
    groups
        .iter()
        .map(|group| paths(heap, group, &ancestors.nodes))
        .collect()
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
