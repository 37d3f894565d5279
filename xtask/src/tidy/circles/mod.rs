//! Layers one way: reads the sources of each crate, produces a breach for each circle of imports between its files, or
//! between its folders.
//!
//! What counts is what a file needs in order to be read: `use` and paths in its code. A `mod` declaration and a re-export
//! (`pub use`) only say where things are: a name is followed through them to the file that defines it. Tests are left out.

mod graph;
mod imports;

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Breach, Source};
use graph::{Edges, circles};
use imports::Crate;

/// Crates by the folder of their sources.
const CRATES: [&str; 6] = [
    "observer-common/src",
    "observer-core/src",
    "observer-ebpf/src",
    "observer-heap/src",
    "observer/src",
    "xtask/src",
];

/// A breach for each circle.
pub(super) fn check(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (root, edges) in imports(sources) {
        for (kind, circle) in all(root, &edges) {
            breaches.push(Breach {
                path: circle.first().cloned().unwrap_or_default(),
                line: 0,
                rule: format!("a circle of imports between {kind}: {}", closing(&circle, &edges)),
            });
        }
    }
    breaches
}

fn imports(sources: &[Source]) -> Vec<(&'static str, Edges)> {
    let of = |root: &'static str| {
        let files: BTreeMap<&str, &str> = sources
            .iter()
            .filter(|source| source.is_rust() && source.path.starts_with(&format!("{root}/")))
            .map(|source| (source.path.as_str(), source.text.as_str()))
            .collect();
        (root, Crate::read(root, &files).edges())
    };
    CRATES.into_iter().map(of).collect()
}

/// Circles between files, then those between folders, which files need not show.
fn all(root: &str, files: &Edges) -> Vec<(&'static str, Vec<String>)> {
    let mut found: Vec<_> = circles(files).into_iter().map(|circle| ("files", circle)).collect();
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for file in files.keys() {
        let mut folder = file.as_str();
        while let Some((above, _)) = folder.rsplit_once('/')
            && above.len() >= root.len()
        {
            folder = above;
            folders.insert(folder.to_owned());
        }
    }
    for folder in &folders {
        let circles = circles(&within(folder, files)).into_iter();
        let of_folders = circles.filter(|circle| circle.iter().any(|room| folders.contains(room)));
        found.extend(of_folders.map(|circle| ("folders", circle)));
    }
    found
}

/// The imports between the rooms of a folder: its files, and its folders, each with the file of its name.
fn within(folder: &str, files: &Edges) -> Edges {
    let room = |file: &str| -> Option<String> {
        let rest = file.strip_prefix(folder)?.strip_prefix('/')?;
        let name = rest.split('/').next()?.trim_end_matches(".rs");
        (!matches!(name, "mod" | "lib" | "main")).then(|| format!("{folder}/{name}"))
    };
    let mut edges = Edges::new();
    for (from, imported) in files {
        for to in imported {
            if let (Some(from), Some(to)) = (room(from), room(to))
                && from != to
            {
                edges.entry(from).or_default().insert(to);
            }
        }
    }
    edges
}

/// `a.rs -> b.rs, b.rs -> a.rs`: the imports that close it, the first ten.
fn closing(circle: &[String], edges: &Edges) -> String {
    let inside = |room: &str, file: &str| {
        file.strip_prefix(room)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
    };
    let room = |file: &str| circle.iter().position(|room| inside(room, file));
    let mut imports = Vec::new();
    for (from, imported) in edges {
        for to in imported {
            if let (Some(a), Some(b)) = (room(from), room(to))
                && a != b
            {
                imports.push(format!("{from} -> {to}"));
            }
        }
    }
    let more = imports.len().saturating_sub(10);
    imports.truncate(10);
    if more > 0 {
        imports.push(format!("and {more} more"));
    }
    imports.join(", ")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
