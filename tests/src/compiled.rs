//! Programs in C and C++ that tests observe, and an addon of Node.js: compiles those of tests/fixtures/memory, or takes what was compiled
//! before where there is no compiler, as in a guest of the kernel matrix; produces their files.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::places;

/// Environment variable: the directory that holds all of them compiled.
pub const BEFOREHAND: &str = "OBSERVER_COMPILED";

/// The Node.js of the cache whose headers an addon is compiled against. Node-API is the same for all versions.
const HEADERS: u32 = 24;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the file that is made.
    name: &'static str,
    /// Its source, below the fixtures.
    source: &'static str,
    compiler: &'static str,
    flags: &'static [&'static str],
    /// It is a library that Node.js loads.
    addon: bool,
}

/// Takes memory of the C library's allocator: leaks it, or leaves it in pieces.
pub static MALLOC: Source = Source {
    name: "malloc",
    source: "memory/malloc.c",
    compiler: "cc",
    flags: &["-O1", "-pthread"],
    addon: false,
};

/// Objects of classes, a known number of each.
pub static OBJECTS: Source = Source {
    name: "objects",
    source: "memory/objects.cc",
    compiler: "c++",
    flags: &["-O1"],
    addon: false,
};

/// The addon that takes memory, for tests/fixtures/memory/addon.js and others.
pub static ADDON: Source = Source {
    name: "addon.node",
    source: "memory/addon.c",
    compiler: "cc",
    flags: &["-shared", "-fPIC", "-O1"],
    addon: true,
};

/// All of them.
pub static ALL: [&Source; 3] = [&MALLOC, &OBJECTS, &ADDON];

impl Source {
    /// Why it cannot be had here; `None` where it can.
    pub fn missing(&self) -> Option<String> {
        if self.beforehand().is_some() {
            None
        } else if places::program(self.compiler).is_none() {
            Some(format!("no `{}` in PATH", self.compiler))
        } else if self.addon && places::cached_node(HEADERS).is_none() {
            Some(format!(
                "no Node.js {HEADERS} in the cache: `cargo xtask setup --matrix`"
            ))
        } else {
            None
        }
    }

    /// The one that was compiled before, else one compiled into `directory`.
    pub fn compiled(&self, directory: &Path) -> Result<PathBuf> {
        if let Some(program) = self.beforehand() {
            return Ok(program);
        }
        let program = directory.join(self.name);
        let mut compile = Command::new(self.compiler);
        compile.args(self.flags);
        if self.addon {
            compile.arg("-I").arg(headers()?);
        }
        compile
            .arg("-o")
            .arg(&program)
            .arg(places::fixtures().join(self.source));
        let built = compile
            .status()
            .with_context(|| format!("cannot start {}", self.compiler))?;
        ensure!(built.success(), "{} of {}: {built}", self.compiler, self.source);
        Ok(program)
    }

    fn beforehand(&self) -> Option<PathBuf> {
        let program = Path::new(&env::var_os(BEFOREHAND)?).join(self.name);
        program.is_file().then_some(program)
    }
}

fn headers() -> Result<PathBuf> {
    let node = places::cached_node(HEADERS).context("no Node.js in the cache; `cargo xtask setup`")?;
    // The package with the binary for this processor stands beside a link to it.
    let node = node.canonicalize()?;
    let packages = places::cache().join(format!("node-{HEADERS}/node_modules/node/node_modules"));
    let beside = node.parent().and_then(Path::parent).map(Path::to_path_buf);
    std::fs::read_dir(packages)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain(beside)
        .map(|package| package.join("include/node"))
        .find(|headers| headers.join("node_api.h").is_file())
        .context("the Node.js of the cache has no headers")
}
