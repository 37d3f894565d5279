//! Container images: reads programs of this host or of this workspace, produces OCI archives with the same bytes each
//! time.

mod agent;
mod archive;
mod bill;
mod cross;
#[cfg(test)]
mod emulated;
mod fixture;
mod layout;
mod release;
#[cfg(test)]
mod reproducible;
#[cfg(test)]
mod validation;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

pub(crate) use agent::{AGENT, build as build_agent};
pub(crate) use archive::Image;
pub(crate) use cross::{QUICK, cross};
pub(crate) use fixture::{node, pause};

use crate::architecture::Architecture;

/// Where to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The archive to write; `target/observer.oci.tar` by default
    #[arg(long, short)]
    output: Option<std::path::PathBuf>,
    /// Pack this program with the libraries it loads, instead of building a static one: quick, for tests
    #[arg(long, value_name = "PROGRAM")]
    built: Option<std::path::PathBuf>,
    /// Make what a registry gets: one index for all machines, compressed, with bills of materials (CycloneDX, SPDX) that refer to each
    /// image
    #[arg(long, conflicts_with = "built")]
    release: bool,
}

/// `cargo xtask image`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    if options.release {
        let output = options.output.clone();
        release::write(&output.unwrap_or_else(|| observer_tests::places::target().join("observer-release.oci.tar")))?;
        return Ok(ExitCode::SUCCESS);
    }
    let output = options.output.clone().unwrap_or_else(agent_archive);
    let image = match &options.built {
        Some(program) => fixture::with_libraries(AGENT, program, "/observer", &["run"])?,
        None => agent::image(Architecture::host(), &agent::build(Architecture::host())?),
    };
    let size = image.write(&output)?;
    println!("image: {AGENT}: {} ({size} bytes)", output.display());
    println!(
        "image: `cargo xtask cluster load {}` loads it into the test cluster",
        output.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Where the agent's image is written by default.
pub(crate) fn agent_archive() -> std::path::PathBuf {
    observer_tests::places::target().join("observer.oci.tar")
}
