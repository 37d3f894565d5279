//! Reads what was found of owners, produces the way from an object up to a root.

use std::collections::VecDeque;

use crate::graph::owners::Edge;
use crate::memory::by_address::ByAddress;

/// What was found of one object.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) owners: Vec<Edge>,
    /// The search ends here.
    pub(crate) root: bool,
    /// It is the head of a chain, and owns what hangs at any link of it.
    pub(crate) chain: bool,
    /// Steps from what was searched for, by the way on which it was met.
    pub(crate) steps: u8,
}

/// The shortest way from an object to a root, by its edges from the object upwards; or, when no root was reached, the
/// longest, because it says most.
pub(crate) fn route(from: u64, nodes: &ByAddress<Node>) -> (Vec<Edge>, bool) {
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

/// The shortest way up to an edge that is `wanted`; of several as short, one of a root.
pub(crate) fn nearest(from: u64, nodes: &ByAddress<Node>, wanted: impl Fn(&Edge) -> bool) -> Option<Vec<Edge>> {
    let mut came = ByAddress::<(u64, Edge)>::default();
    let mut level = vec![from];
    while !level.is_empty() {
        let mut found: Option<(bool, u64, Edge)> = None;
        let mut next = Vec::new();
        for address in level {
            let Some(node) = nodes.get(&address) else { continue };
            if node.root {
                continue;
            }
            for &edge in &node.owners {
                let root = nodes.get(&edge.owner).is_some_and(|owner| owner.root);
                if found.is_none_or(|(known, ..)| root && !known) && wanted(&edge) {
                    found = Some((root, address, edge));
                }
                if edge.owner != from && !came.contains_key(&edge.owner) {
                    came.insert(edge.owner, (address, edge));
                    next.push(edge.owner);
                }
            }
        }
        if let Some((_, mut at, edge)) = found {
            let mut edges = vec![edge];
            while let Some(&(below, edge)) = came.get(&at) {
                edges.push(edge);
                at = below;
            }
            edges.reverse();
            return Some(edges);
        }
        level = next;
    }
    None
}
