//! The addon that leaks: compiles tests/fixtures/memory/addon.c against the headers that come with a Node.js of the cache, produces a
//! `.node` file. Node-API is the same for all versions.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::places;

/// The Node.js whose headers are taken: a test needs it, and a C compiler.
pub const MAJOR: u32 = 24;

/// Compiles it into `directory`.
pub fn compiled(directory: &Path) -> Result<PathBuf> {
    let node = places::cached_node(MAJOR).context("no Node.js in the cache; `cargo xtask setup`")?;
    // The package with the binary for this processor stands beside a link to it.
    let node = node.canonicalize()?;
    let packages = places::cache().join(format!("node-{MAJOR}/node_modules/node/node_modules"));
    let beside = node.parent().and_then(Path::parent).map(Path::to_path_buf);
    let headers = std::fs::read_dir(packages)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain(beside)
        .map(|package| package.join("include/node"))
        .find(|headers| headers.join("node_api.h").is_file())
        .context("the Node.js of the cache has no headers")?;
    let addon = directory.join("addon.node");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-I"])
        .arg(headers)
        .arg("-o")
        .arg(&addon)
        .arg(places::fixtures().join("memory/addon.c"))
        .status()?;
    ensure!(built.success(), "cc: {built}");
    Ok(addon)
}
