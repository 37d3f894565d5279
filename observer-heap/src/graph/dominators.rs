//! Reads the graph of owners of sampled objects, produces the points below which they accumulate: what every way from a
//! root to a large part of them leads through, and behind which the ways part.
//!
//! The tree of dominators is that of Cooper, Harvey and Kennedy ("A Simple, Fast Dominance Algorithm"), over the few
//! thousand objects that the search upwards met, not over the heap.

use std::collections::BTreeMap;

use crate::graph::ancestors::Ancestors;
use crate::memory::by_address::ByAddress;

/// Least share of all weight that makes a point, percent.
const LEAST_PERCENT: u64 = 4;
/// A child with so much of its parent's weight, percent, takes the search further down.
const MOST_OF_IT: u64 = 50;
/// Children of one map from which on they are a collection's contents.
const CONTENTS: usize = 4;
/// So many of an object's properties are a collection's contents too, a list for each room, tenant or user: where they have less than this
/// share of all weight, percent, in the mean, and but for those that have so many times as much.
const LIGHT_PERCENT: u64 = 20;
const STANDS_OUT: u64 = 3;
/// Sampled objects below a child that is a point of its own.
const FEWEST_BELOW: u32 = 4;
/// Objects of one map, each dominating the next, from which on they are a chain.
const CHAIN: usize = 4;
/// Rounds of the iteration; a graph that can be reduced takes two or three.
const MOST_ROUNDS: usize = 32;

/// A point of accumulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// The objects that hold everything below; several where they are alike and held by nothing in common.
    pub(crate) objects: Vec<u64>,
    /// The heaviest of the objects that accumulate there.
    pub(crate) content: u64,
    /// A name that leads to `content` would lead to most of it, or has nothing to do with it: it is one of a collection's contents.
    /// Two lists of listeners whose closures share a scope have it in common; neither list's name is where it hangs.
    pub(crate) leads: bool,
    /// Weight of the sampled objects below.
    pub(crate) weight: u64,
}

/// What is known of an object by its address.
pub(crate) struct Kinds<'k> {
    /// Its map.
    pub(crate) map_of: &'k dyn Fn(u64) -> u64,
    /// Whether what it holds has names: variables of a scope, properties of an object. A collection's contents have none.
    pub(crate) names: &'k dyn Fn(u64) -> bool,
    /// Whether these are properties of an object: a scope's variables are nobody's collection.
    pub(crate) keys: &'k dyn Fn(u64) -> bool,
    /// Whether it is a part of the object that owns it: properties that have no room inside of it.
    pub(crate) part: &'k dyn Fn(u64) -> bool,
}

/// The tree of dominators; its root, 0, stands for everything the search ends at.
struct Tree {
    addresses: Vec<u64>,
    children: Vec<Vec<usize>>,
    /// Weight, and number of sampled objects, at and below each.
    weight: Vec<u64>,
    below: Vec<u32>,
    /// Whether each is the head of a chain.
    chain: Vec<bool>,
}

/// The points of these sampled objects, given with their weights, heaviest first.
pub(crate) fn points(ancestors: &Ancestors, samples: &[(u64, u64)], kinds: &Kinds<'_>) -> Vec<Point> {
    let mut tree = Tree::of(ancestors, samples);
    tree.merge(kinds.part);
    let all: u64 = samples.iter().map(|(_, weight)| weight).sum();
    let mut search = Search {
        tree: &tree,
        least: (all * LEAST_PERCENT / 100).max(1),
        kinds,
        points: Vec::new(),
    };
    search.roots();
    search
        .points
        .sort_by_key(|point| (std::cmp::Reverse(point.weight), point.objects.clone()));
    search.points
}

impl Tree {
    fn of(ancestors: &Ancestors, samples: &[(u64, u64)]) -> Self {
        // Edges from owners to what they own; numbers in reverse postorder.
        let mut owned = ByAddress::<Vec<u64>>::default();
        let mut roots: Vec<u64> = Vec::new();
        let mut addresses: Vec<u64> = ancestors.nodes.keys().copied().collect();
        addresses.sort_unstable();
        for address in addresses {
            let Some(node) = ancestors.nodes.get(&address) else {
                continue;
            };
            if node.root {
                roots.push(address);
            }
            for edge in &node.owners {
                owned.entry(edge.owner).or_default().push(address);
            }
        }
        let order = reverse_postorder(&roots, &owned);
        let number: ByAddress<usize> = order
            .iter()
            .enumerate()
            .map(|(at, &address)| (address, at + 1))
            .collect();
        let mut above: Vec<Vec<usize>> = vec![Vec::new(); order.len() + 1];
        for (at, address) in order.iter().enumerate() {
            let Some(node) = ancestors.nodes.get(address) else {
                continue;
            };
            if node.root {
                above[at + 1].push(0);
            } else {
                above[at + 1].extend(node.owners.iter().filter_map(|edge| number.get(&edge.owner)));
            }
        }
        let parent = immediate_dominators(&above);
        let mut tree = Self {
            addresses: std::iter::once(0).chain(order).collect(),
            children: vec![Vec::new(); parent.len()],
            weight: vec![0; parent.len()],
            below: vec![0; parent.len()],
            chain: vec![false; parent.len()],
        };
        for (at, address) in tree.addresses.iter().enumerate().skip(1) {
            tree.chain[at] = ancestors.nodes.get(address).is_some_and(|node| node.chain);
        }
        for &(address, weight) in samples {
            if let Some(&at) = number.get(&address) {
                tree.weight[at] += weight;
                tree.below[at] += 1;
            }
        }
        for at in (1..parent.len()).rev() {
            let up = parent[at];
            tree.children[up].push(at);
            tree.weight[up] += tree.weight[at];
            tree.below[up] += tree.below[at];
        }
        tree
    }

    /// Gives the children of parts to the objects that these are of.
    fn merge(&mut self, part: &dyn Fn(u64) -> bool) {
        for at in 0..self.children.len() {
            let children = self.children[at].clone();
            for child in children.into_iter().filter(|&child| part(self.addresses[child])) {
                let own = std::mem::take(&mut self.children[child]);
                self.weight[child] -= own.iter().map(|&below| self.weight[below]).sum::<u64>();
                self.below[child] -= own.iter().map(|&below| self.below[below]).sum::<u32>();
                self.children[at].extend(own);
            }
        }
    }

    /// The heaviest child, but for these.
    fn heaviest(&self, at: usize, but: &[usize]) -> Option<usize> {
        self.children[at]
            .iter()
            .copied()
            .filter(|child| !but.contains(child))
            .max_by_key(|&child| (self.weight[child], child))
    }
}

fn reverse_postorder(roots: &[u64], owned: &ByAddress<Vec<u64>>) -> Vec<u64> {
    let mut seen = ByAddress::<()>::default();
    let mut order = Vec::new();
    for &root in roots {
        if seen.insert(root, ()).is_some() {
            continue;
        }
        let mut stack = vec![(root, 0)];
        while let Some((address, next)) = stack.pop() {
            match owned.get(&address).and_then(|owned| owned.get(next)) {
                Some(&below) => {
                    stack.push((address, next + 1));
                    if seen.insert(below, ()).is_none() {
                        stack.push((below, 0));
                    }
                }
                None => order.push(address),
            }
        }
    }
    order.reverse();
    order
}

/// The immediate dominator of each; numbers ascend in reverse postorder, 0 is the root.
fn immediate_dominators(above: &[Vec<usize>]) -> Vec<usize> {
    const UNKNOWN: usize = usize::MAX;
    let mut parent = vec![UNKNOWN; above.len()];
    parent[0] = 0;
    for _ in 0..MOST_ROUNDS {
        let mut changed = false;
        for at in 1..above.len() {
            let mut known = above[at].iter().copied().filter(|&up| parent[up] != UNKNOWN);
            let Some(mut common) = known.next() else { continue };
            for mut other in known {
                while common != other {
                    if common > other {
                        common = parent[common];
                    } else {
                        other = parent[other];
                    }
                }
            }
            if parent[at] != common {
                parent[at] = common;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    parent.iter().map(|&up| if up == UNKNOWN { 0 } else { up }).collect()
}

struct Search<'s> {
    tree: &'s Tree,
    least: u64,
    kinds: &'s Kinds<'s>,
    points: Vec<Point>,
}

impl Search<'_> {
    fn map(&self, at: usize) -> u64 {
        (self.kinds.map_of)(self.tree.addresses[at])
    }

    /// From everything down: each heavy child for itself; those alike, each of them light, together.
    fn roots(&mut self) {
        let mut alike = BTreeMap::<u64, Vec<usize>>::new();
        for &child in &self.tree.children[0] {
            if self.tree.weight[child] >= self.least && self.tree.below[child] >= FEWEST_BELOW {
                self.descend(child);
            } else if self.tree.weight[child] > 0 {
                alike.entry(self.map(child)).or_default().push(child);
            }
        }
        for group in alike.into_values().filter(|group| group.len() >= CONTENTS) {
            let weight = group.iter().map(|&at| self.tree.weight[at]).sum();
            if weight >= self.least {
                self.points.push(Point {
                    objects: group.iter().map(|&at| self.tree.addresses[at]).collect(),
                    content: self.tree.addresses[group[0]],
                    leads: true,
                    weight,
                });
            }
        }
    }

    /// From an object down to where the ways part.
    fn descend(&mut self, from: usize) {
        let mut way = vec![from];
        let mut at = from;
        loop {
            // The head changes with every link that is added: what holds the chain is what holds its head.
            if self.tree.chain[at] && way.len() > 1 {
                return self.point(way[way.len() - 2], self.tree.weight[at], &[]);
            }
            let heavy = self.tree.heaviest(at, &[]).filter(|&child| {
                self.tree.weight[child] * 100 >= self.tree.weight[at] * MOST_OF_IT
                    && self.tree.below[child] >= FEWEST_BELOW
            });
            let (branches, list) = self.branches(at);
            if branches.len() > 1 || list.is_some() {
                let rest = self.tree.weight[at] - branches.iter().map(|&child| self.tree.weight[child]).sum::<u64>();
                for &child in &branches {
                    self.descend(child);
                }
                if rest >= self.least {
                    self.point(at, rest, &branches);
                    if let Some(list) = list {
                        self.contents_of_lists(list);
                    }
                }
                return;
            }
            let Some(child) = heavy else {
                return self.point(at, self.tree.weight[at], &[]);
            };
            way.push(child);
            // A linked list: each link holds all that follow. It is held by what holds its first.
            let map = self.map(child);
            let links: Vec<usize> = (0..way.len()).filter(|&index| self.map(way[index]) == map).collect();
            if links.len() >= CHAIN && !links.windows(2).all(|pair| pair[1] == pair[0] + 1) || links.len() >= 2 * CHAIN
            {
                let first = links[0].saturating_sub(1);
                return self.point(way[first], self.tree.weight[way[first]], &[]);
            }
            at = child;
        }
    }

    /// Children that are worth a point each, unless they are the contents of a collection; and the heaviest of those that are lists.
    fn branches(&self, at: usize) -> (Vec<usize>, Option<usize>) {
        let heavy: Vec<usize> = self.tree.children[at]
            .iter()
            .copied()
            .filter(|&child| self.tree.weight[child] >= self.least && self.tree.below[child] >= FEWEST_BELOW)
            .collect();
        // A node of a tree has names for its children too: they are its contents.
        let (own, names) = (self.map(at), (self.kinds.names)(self.tree.addresses[at]));
        if names && heavy.iter().all(|&child| self.map(child) != own) {
            let lists = if (self.kinds.keys)(self.tree.addresses[at]) {
                self.lists(&heavy)
            } else {
                Vec::new()
            };
            let list = lists.iter().copied().max_by_key(|&list| self.tree.weight[list]);
            let branches = heavy.into_iter().filter(|child| !lists.contains(child));
            return (branches.collect(), list);
        }
        let mut alike = BTreeMap::<u64, usize>::new();
        for &child in &self.tree.children[at] {
            *alike.entry(self.map(child)).or_default() += 1;
        }
        let single = |child: &usize| alike.get(&self.map(*child)).is_none_or(|&n| n < CONTENTS);
        if heavy.iter().all(single) {
            (heavy, None)
        } else {
            (Vec::new(), None)
        }
    }

    /// Those of an object's properties that are a list each for something there are many of.
    fn lists(&self, properties: &[usize]) -> Vec<usize> {
        let mut alike = BTreeMap::<u64, Vec<usize>>::new();
        for &child in properties {
            alike.entry(self.map(child)).or_default().push(child);
        }
        let mut lists = Vec::new();
        for group in alike.into_values() {
            let weight = |child: usize| self.tree.weight[child];
            let mean = group.iter().map(|&child| weight(child)).sum::<u64>() / group.len().max(1) as u64;
            let light = mean * 100 < self.tree.weight[0] * LIGHT_PERCENT;
            let group: Vec<usize> = group
                .into_iter()
                .filter(|&child| weight(child) <= mean * STANDS_OUT)
                .collect();
            if light && group.len() >= CONTENTS {
                lists.extend(group);
            }
        }
        lists
    }

    /// What accumulates at the point found last is what is in such a list.
    fn contents_of_lists(&mut self, list: usize) {
        let mut inside = Search {
            tree: self.tree,
            least: self.least,
            kinds: self.kinds,
            points: Vec::new(),
        };
        inside.descend(list);
        if let (Some(point), Some(inside)) = (self.points.last_mut(), inside.points.first()) {
            point.content = inside.content;
            point.leads = false;
        }
    }

    /// What hangs at an object, but for these children, which are points of their own.
    fn point(&mut self, at: usize, weight: u64, but: &[usize]) {
        let content = self.tree.heaviest(at, but).unwrap_or(at);
        let most = self.tree.weight[content] * 100 >= weight * MOST_OF_IT;
        self.points.push(Point {
            objects: vec![self.tree.addresses[at]],
            content: self.tree.addresses[content],
            leads: most || !(self.kinds.names)(self.tree.addresses[at]),
            weight,
        });
    }
}

#[cfg(test)]
mod tests;
