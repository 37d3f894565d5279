//! Parses a heap snapshot in V8's format, produces counts by node type and name, and what an object retains: the ground truth,
//! where V8 wrote it.

use std::{collections::VecDeque, path::Path};

use serde::Deserialize;

/// The parts of the file that are looked at.
#[derive(Deserialize)]
struct File {
    snapshot: Head,
    nodes: Vec<u32>,
    edges: Vec<u32>,
    strings: Vec<String>,
}

#[derive(Deserialize)]
struct Head {
    meta: Meta,
    node_count: usize,
    edge_count: usize,
}

#[derive(Deserialize)]
struct Meta {
    node_fields: Vec<String>,
    node_types: Vec<serde_json::Value>,
    edge_fields: Vec<String>,
    edge_types: Vec<serde_json::Value>,
}

/// A node, its name looked up.
pub(crate) struct Node {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    edges: std::ops::Range<usize>,
}

/// An edge, its name looked up: a number where it has no other.
pub(crate) struct Edge {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) to: usize,
}

/// A graph of objects; node 0 is its root.
pub(crate) struct Snapshot {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
}

impl Snapshot {
    pub(crate) fn parse(file: &Path) -> Self {
        let file: File = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let meta = &file.snapshot.meta;
        let field = |fields: &[String], name: &str| fields.iter().position(|field| field == name).unwrap();
        let node = |name| field(&meta.node_fields, name);
        let (kind, name, bytes, count) = (node("type"), node("name"), node("self_size"), node("edge_count"));
        let types = |types: &serde_json::Value| -> Vec<String> { serde_json::from_value(types.clone()).unwrap() };
        let (node_types, edge_types) = (types(&meta.node_types[0]), types(&meta.edge_types[0]));
        let width = meta.node_fields.len();
        let mut from = 0;
        let nodes: Vec<Node> = file
            .nodes
            .chunks_exact(width)
            .map(|values| {
                let edges = from..from + values[count] as usize;
                from = edges.end;
                Node {
                    kind: node_types[values[kind] as usize].clone(),
                    name: file.strings[values[name] as usize].clone(),
                    bytes: values[bytes].into(),
                    edges,
                }
            })
            .collect();
        let edge = |name| field(&meta.edge_fields, name);
        let (kind, name, to) = (edge("type"), edge("name_or_index"), edge("to_node"));
        let edges: Vec<Edge> = file
            .edges
            .chunks_exact(meta.edge_fields.len())
            .map(|values| {
                let kind = edge_types[values[kind] as usize].clone();
                let numbered = kind == "element" || kind == "hidden";
                assert!(
                    (values[to] as usize).is_multiple_of(width),
                    "an edge leads into a node's middle"
                );
                Edge {
                    name: if numbered {
                        values[name].to_string()
                    } else {
                        file.strings[values[name] as usize].clone()
                    },
                    kind,
                    to: values[to] as usize / width,
                }
            })
            .collect();
        assert_eq!(nodes.len(), file.snapshot.node_count);
        assert_eq!(edges.len(), file.snapshot.edge_count);
        assert_eq!(from, edges.len(), "the nodes' edges are all there are");
        assert!(edges.iter().all(|edge| edge.to < nodes.len()));
        Self { nodes, edges }
    }

    pub(crate) fn count(&self, kind: &str, names: &[&str]) -> u64 {
        let is = |node: &&Node| node.kind == kind && names.contains(&node.name.as_str());
        self.nodes.iter().filter(is).count() as u64
    }

    pub(crate) fn edges(&self, node: usize) -> &[Edge] {
        &self.edges[self.nodes[node].edges.clone()]
    }

    /// The nodes that a way in words leads to, as `observer heap` prints it: `bus in FILE`, `EventEmitter._events`,
    /// `Object.message`, `Array[]`. Its end is the collection, not what is in it.
    pub(crate) fn find(&self, path: &[String]) -> Vec<usize> {
        let variable = path[0].split(" in ").next().unwrap().split(" of ").next().unwrap();
        let from = self
            .edges
            .iter()
            .filter(|edge| edge.kind == "context" && edge.name == variable);
        let mut found: Vec<usize> = from.map(|edge| edge.to).collect();
        found.sort_unstable();
        found.dedup();
        for step in &path[1..] {
            // An entry of a dictionary has no name that is told.
            let Some((_, name)) = step.split_once('.').filter(|(_, name)| *name != "[…]") else {
                continue;
            };
            found = found
                .iter()
                .flat_map(|&node| self.edges(node))
                .filter(|edge| edge.kind == "property" && edge.name == name)
                .map(|edge| edge.to)
                .collect();
        }
        found
    }

    /// Bytes that are reached from the root, and not any more without this node: its own among them.
    pub(crate) fn retained(&self, node: usize) -> u64 {
        self.reached(None) - self.reached(Some(node))
    }

    fn reached(&self, without: Option<usize>) -> u64 {
        let mut seen = vec![false; self.nodes.len()];
        seen[0] = true;
        if let Some(without) = without {
            seen[without] = true;
        }
        let mut open = VecDeque::from([0]);
        let mut bytes = 0;
        while let Some(node) = open.pop_front() {
            bytes += self.nodes[node].bytes;
            // V8 draws the table of internalised strings as if it held them. It does not (src/objects/string-table.h): a key that
            // nothing else holds goes with its object.
            if self.nodes[node].name == "(Internalized strings)" {
                continue;
            }
            for edge in self.edges(node) {
                if edge.kind != "weak" && !std::mem::replace(&mut seen[edge.to], true) {
                    open.push_back(edge.to);
                }
            }
        }
        bytes
    }
}
