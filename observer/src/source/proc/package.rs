//! Reads the package.json a service belongs to, through the process's own root; produces its name and version.

use std::path::{Component, Path, PathBuf};

use observer_core::process::Package;
use serde::Deserialize;

use crate::source::rooted::Rooted;

/// A package.json is a few kilobytes; one beyond this is not read.
const LARGEST: u64 = 1 << 20;
/// Directories above the script that are looked at.
const DEEPEST: usize = 32;

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
}

/// Nearest package.json with a name above the main script. A build's output often holds one with nothing but
/// `"type"`: it is passed by. Where the script is a tool from `node_modules` (next, nest, ts-node), the service is
/// what it was started in: the working directory is asked first.
pub(crate) fn nearest(root: &Rooted, script: Option<&str>, cwd: Option<&str>) -> Option<Package> {
    let cwd = cwd.map(Path::new).filter(|path| path.is_absolute());
    let script = script.and_then(|script| absolute(cwd, script));
    let is_tool = |path: &Path| {
        path.components()
            .any(|c| c == Component::Normal("node_modules".as_ref()))
    };
    match &script {
        Some(script) if is_tool(script) => cwd
            .and_then(|cwd| above(root, cwd))
            .or_else(|| script.parent().and_then(|dir| above(root, dir))),
        Some(script) => script.parent().and_then(|dir| above(root, dir)),
        None => cwd.and_then(|cwd| above(root, cwd)),
    }
}

/// The script as an absolute path without `.` and `..`.
fn absolute(cwd: Option<&Path>, script: &str) -> Option<PathBuf> {
    let joined = if Path::new(script).is_absolute() {
        PathBuf::from(script)
    } else {
        cwd?.join(script)
    };
    let mut plain = PathBuf::from("/");
    for component in joined.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(plain)
}

fn above(root: &Rooted, dir: &Path) -> Option<Package> {
    dir.ancestors().take(DEEPEST).find_map(|dir| {
        let bytes = root.read(&dir.join("package.json"), LARGEST).ok()?;
        let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
        let name = manifest.name.filter(|name| !name.is_empty())?;
        Some(Package {
            name,
            version: manifest.version.filter(|version| !version.is_empty()),
        })
    })
}
