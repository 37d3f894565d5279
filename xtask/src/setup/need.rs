//! Something that building, testing or the demo needs: reads whether it is there, produces it installed, or its name.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, anyhow};
use observer_tests::places;

use crate::shell;

/// Something that building, testing or the demo needs.
pub(super) struct Need {
    /// What it is.
    pub(super) name: String,
    /// What for.
    pub(super) why: &'static str,
    /// Whether it is there.
    pub(super) present: Box<dyn Fn() -> bool>,
    /// Makes it be there.
    install: Box<dyn Fn() -> Result<()>>,
}

impl Need {
    pub(super) fn new(
        name: impl Into<String>,
        why: &'static str,
        present: impl Fn() -> bool + 'static,
        install: impl Fn() -> Result<()> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            why,
            present: Box::new(present),
            install: Box::new(install),
        }
    }
}

/// Installs what is missing, in order; returns what is still missing.
pub(super) fn provide(needs: &[Need]) -> Vec<String> {
    let mut missing = Vec::new();
    for need in needs.iter().filter(|need| !(need.present)()) {
        println!("setup: {} is missing ({})", need.name, need.why);
        let outcome = (need.install)();
        if let Err(error) = &outcome {
            println!("setup: {}: {error:#}", need.name);
        } else if !(need.present)() {
            println!("setup: {}: installed, but still not usable", need.name);
        } else {
            continue;
        }
        missing.push(need.name.clone());
    }
    missing
}

/// Says what is about to be run, then runs it silently.
pub(super) fn install(command: Command) -> Result<()> {
    println!("setup:   {}", shell::shown(&command));
    shell::quiet(command).map(drop)
}

/// The cache, made if need be.
pub(super) fn cache(below: &str) -> Result<PathBuf> {
    let path = places::cache().join(below);
    std::fs::create_dir_all(&path)
        .map_err(|error| anyhow!("cannot make the cache directory {}: {error}", path.display()))?;
    Ok(path)
}
