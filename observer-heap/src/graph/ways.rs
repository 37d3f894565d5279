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
    /// How many of its owners are of each kind.
    pub(crate) kinds: Vec<(u64, u8)>,
}

/// Objects to which ways lead from roots that do not lead through this one. Its contents may refer to it: a way up through them says nothing
/// of what holds it. All of them where no root was reached beside it.
pub(crate) fn beside(object: u64, nodes: &ByAddress<Node>) -> impl Fn(u64) -> bool {
    let mut owned = ByAddress::<Vec<u64>>::default();
    let mut open: Vec<u64> = Vec::new();
    for (&address, node) in nodes {
        if node.root && address != object {
            open.push(address);
        }
        for edge in &node.owners {
            owned.entry(edge.owner).or_default().push(address);
        }
    }
    let mut seen = ByAddress::<()>::default();
    let mut holds = false;
    while let Some(address) = open.pop() {
        if address == object {
            holds = true;
        } else if seen.insert(address, ()).is_none() {
            open.extend(owned.get(&address).into_iter().flatten());
        }
    }
    move |address| !holds || seen.contains_key(&address)
}

/// The shortest way from an object to a root, by its edges from the object upwards; or, when no root was reached, the
/// longest, because it says most.
pub(crate) fn route(from: u64, nodes: &ByAddress<Node>) -> (Vec<Edge>, bool) {
    route_by(from, nodes, |_| true)
}

/// The same, by owners that are `allowed`.
pub(crate) fn route_by(from: u64, nodes: &ByAddress<Node>, allowed: impl Fn(u64) -> bool) -> (Vec<Edge>, bool) {
    let mut came = ByAddress::<(u64, Edge)>::default();
    let mut queue = VecDeque::from([from]);
    let mut last = from;
    while let Some(address) = queue.pop_front() {
        let Some(node) = nodes.get(&address) else { continue };
        last = address;
        if node.root {
            break;
        }
        for &edge in node.owners.iter().filter(|edge| allowed(edge.owner)) {
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

/// The shortest way up, by owners that are `allowed`, to an edge that is `wanted`; of several as short, one of a root.
pub(crate) fn nearest(
    from: u64,
    nodes: &ByAddress<Node>,
    allowed: impl Fn(u64) -> bool,
    wanted: impl Fn(&Edge) -> bool,
) -> Option<Vec<Edge>> {
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
            for &edge in node.owners.iter().filter(|edge| allowed(edge.owner)) {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::layout::maps::MapInfo;

    /// `(object, owners)`; owner 0 makes it a root.
    pub(crate) fn nodes(graph: &[(u64, &[u64])]) -> ByAddress<Node> {
        let edge = |owner: u64| Edge {
            owner,
            offset: 8,
            map: MapInfo {
                address: 0,
                instance_type: 0,
                words: 0,
            },
        };
        let node = |&(address, owners): &(u64, &[u64])| {
            let known = owners.iter().copied().filter(|&owner| owner != 0);
            let node = Node {
                owners: known.map(edge).collect(),
                root: owners.contains(&0),
                ..Node::default()
            };
            (address, node)
        };
        graph.iter().map(node).collect()
    }

    fn way(from: u64, nodes: &ByAddress<Node>) -> Vec<u64> {
        let (way, _) = route_by(from, nodes, beside(from, nodes));
        way.iter().map(|edge| edge.owner).collect()
    }

    #[test]
    fn what_a_queue_s_own_jobs_refer_to_is_no_way_up_to_it() {
        // 20, the queue: held by 11 below the root 10, and referred to by 22, of its own contents, in which a root might be looked for.
        let held = nodes(&[
            (10, &[0]),
            (11, &[10]),
            (20, &[22, 11]),
            (21, &[20]),
            (22, &[21, 23]),
            (23, &[22]),
        ]);
        assert_eq!(way(20, &held), [11, 10]);
        // What a root beside it holds as well is one.
        let shared = nodes(&[(10, &[0]), (20, &[22]), (21, &[20]), (22, &[21, 10])]);
        assert_eq!(way(20, &shared), [22, 10]);
        // Where no root was reached, any.
        let lost = nodes(&[(20, &[22]), (21, &[20]), (22, &[21])]);
        assert!(!way(20, &lost).is_empty());
    }
}
