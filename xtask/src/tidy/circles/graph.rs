//! Circles of a graph: reads who imports whom, produces the strongly connected components of more than one.

use std::collections::{BTreeMap, BTreeSet};

/// Who imports whom.
pub(super) type Edges = BTreeMap<String, BTreeSet<String>>;

/// Circle by circle, everyone in it. Graphs are of some hundred nodes: those that reach each other are together.
pub(super) fn circles(edges: &Edges) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = edges.keys().map(|from| (from, reached(from, edges))).collect();
    let mut done: BTreeSet<&String> = BTreeSet::new();
    let mut found = Vec::new();
    for (from, reached) in &reach {
        if done.contains(from) {
            continue;
        }
        let back = |to: &&&String| reach.get(**to).is_some_and(|back| back.contains(from));
        let circle: Vec<&String> = reached.iter().filter(back).copied().collect();
        done.extend(circle.iter().copied());
        if circle.len() > 1 {
            found.push(circle.into_iter().cloned().collect());
        }
    }
    found
}

fn reached<'a>(from: &String, edges: &'a Edges) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = edges.get(from).into_iter().flatten().collect();
    while let Some(node) = next.pop() {
        if reached.insert(node) {
            next.extend(edges.get(node).into_iter().flatten());
        }
    }
    reached
}
