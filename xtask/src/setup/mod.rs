//! Set-up: reads what this machine has, installs what is missing by package name, one printed line each.
//!
//! What is there is never installed again, and what cannot be installed is named with the command that would.

mod ebpf;
mod need;
mod packages;
mod runtime;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;

use need::{Need, provide};

use crate::architecture::Architecture;

/// What to install.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Also what tests across versions run: five of Node.js, Debian's build of it, and Bun, which is to be left alone
    #[arg(long)]
    matrix: bool,
    /// Only say what is missing; install nothing
    #[arg(long)]
    check: bool,
}

/// `cargo xtask setup`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let needs = if options.matrix { for_all_tests() } else { everything() };
    if options.check {
        let missing = needs.iter().filter(|need| !(need.present)());
        let count = missing
            .inspect(|need| println!("missing: {} ({})", need.name, need.why))
            .count();
        println!("{} of {} present", needs.len() - count, needs.len());
        return Ok(if count == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let missing = provide(&needs);
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("set-up is incomplete: {}", missing.join(", "));
}

/// Whether the kernel programs can be built here.
pub(crate) fn can_build() -> bool {
    ebpf::needs().iter().all(|need| (need.present)())
}

/// The toolchain that builds the kernel programs here, where there is one.
pub(crate) fn kernel_toolchain() -> Option<&'static str> {
    ebpf::toolchain()
}

/// Installs packages of the distribution that only one command needs.
pub(crate) fn packages(names: &[&str]) -> Result<()> {
    packages::apt(names)
}

/// Node.js for another machine, which only its guest runs: the cached one, fetched where there is none.
pub(crate) fn node_for(architecture: Architecture, major: u32) -> Result<PathBuf> {
    runtime::node_for(architecture, major)
}

/// Installs what tests and demo need; names what could not be had.
pub(crate) fn for_running() -> Vec<String> {
    provide(&everything())
}

/// The same with all that tests across versions run.
pub(crate) fn for_testing() -> Vec<String> {
    provide(&for_all_tests())
}

fn for_all_tests() -> Vec<Need> {
    let mut needs = everything();
    needs.extend(runtime::matrix());
    needs
}

fn everything() -> Vec<Need> {
    let mut needs = ebpf::needs();
    needs.extend(runtime::needs());
    needs
}
