//! Static programs for any machine: reads a Cargo command, produces the same for another target, with what that needs installed.
//!
//! For another machine than this one they are cross-built: Rust's own linker, and Debian's cross compiler for the few C
//! sources.

use std::process::Command;

use anyhow::{Context as _, Result};
use observer_tests::places;

use crate::{architecture::Architecture, setup, shell};

/// Settings of Cargo's for programs that are run under emulation: not slow to run, and quick to build, for which the largest crate
/// is left as it is; nothing else differs from what tests are built with.
pub(crate) const QUICK: [&str; 3] = [
    "profile.dev.opt-level=1",
    "profile.dev.package.observer.opt-level=0",
    "profile.dev.debug=false",
];

/// Makes a Cargo command build for this machine, statically.
pub(crate) fn cross(command: &mut Command, architecture: Architecture) -> Result<()> {
    let target = architecture.target();
    add_target(&target)?;
    let native = architecture == Architecture::host();
    let (cross, packages) = architecture.cross_compiler();
    let (compiler, needed) = if native {
        ("musl-gcc", &["musl-tools"][..])
    } else {
        (cross, &packages[..])
    };
    if places::program(compiler).is_none() {
        println!("image: {compiler} is missing (the agent has a few C sources): installing it");
        setup::packages(needed)?;
    }
    if !native {
        let variable = target.replace('-', "_");
        command
            .env(format!("CC_{variable}"), compiler)
            .env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), "rust-lld");
    }
    command.args(["--target", &target]);
    Ok(())
}

/// Adds a Rust target where it is missing.
fn add_target(target: &str) -> Result<()> {
    let installed = shell::quiet(shell::command("rustup", ["target", "list", "--installed"])).unwrap_or_default();
    if !installed.lines().any(|line| line == target) {
        println!("image: adding the Rust target {target}");
        shell::quiet(shell::command("rustup", ["target", "add", target]))
            .with_context(|| format!("a static program needs the Rust target {target}"))?;
    }
    Ok(())
}
