//! Parses a heap snapshot as V8 writes it, produces counts by node type and name: the ground truth.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

/// Nodes by (type, name).
pub(crate) struct Snapshot(BTreeMap<(String, String), u64>);

impl Snapshot {
    pub(crate) fn parse(file: &Path) -> Self {
        let value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let meta = &value["snapshot"]["meta"];
        let width = meta["node_fields"].as_array().unwrap().len();
        let strings = value["strings"].as_array().unwrap();
        let types = meta["node_types"][0].as_array().unwrap();
        let mut counts = BTreeMap::new();
        for node in value["nodes"].as_array().unwrap().chunks_exact(width) {
            let text = |list: &[Value], at: &Value| list[at.as_u64().unwrap() as usize].as_str().unwrap().to_owned();
            *counts
                .entry((text(types, &node[0]), text(strings, &node[1])))
                .or_default() += 1;
        }
        Self(counts)
    }

    pub(crate) fn count(&self, kind: &str, names: &[&str]) -> u64 {
        names
            .iter()
            .filter_map(|name| self.0.get(&(kind.to_owned(), (*name).to_owned())))
            .sum()
    }
}
