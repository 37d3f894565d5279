//! The kernel matrix: boots the kernels of Debian's releases under emulation, runs the end-to-end tests of the kernel
//! half and of the sources there, on cgroup v2 and v1, and produces one line per boot.
//!
//! One host has one kernel and one cgroup version; what a verifier of another release refuses, or a file that another
//! version names differently, shows only there. Everything fetched is kept in the cache, outside the repository.

mod boot;
mod foreign;
mod outcome;
mod root;
mod volume;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    architecture::Architecture,
    compatibility,
    guest::{self, RELEASES, Release, impossible},
};

/// Which kernels to boot, and what to run there.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only kernels of these series, such as 6.1; all by default
    series: Vec<String>,
    /// The machine that they are for: this host's programs run on amd64's, Debian's and npm's on arm64's
    #[arg(long, value_enum, default_value_t)]
    arch: Architecture,
    /// Only on this cgroup version
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    cgroup: Option<u8>,
    /// The tests of `observer memory` instead of the others, with runc, a disk for page cache, and what they run
    #[arg(long, conflicts_with_all = ["arch", "write"])]
    memory: bool,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Write what was tried into COMPATIBILITY.md
    #[arg(long, conflicts_with = "filter")]
    write: bool,
    /// Let the processor run the guest instead of emulating it, where /dev/kvm works
    #[arg(long)]
    kvm: bool,
}

impl Options {
    /// What CI boots of arm64: one kernel, on the cgroup version that it comes with.
    pub(crate) fn on_arm64() -> Self {
        Self {
            series: vec!["6.12".to_owned()],
            arch: Architecture::Aarch64,
            cgroup: Some(2),
            ..Self::default()
        }
    }

    /// What CI boots with the tests of `observer memory`: one kernel, on the cgroup version that a host of the other does not have.
    pub(crate) fn of_memory() -> Self {
        Self {
            series: vec!["6.12".to_owned()],
            cgroup: Some(2),
            memory: true,
            ..Self::default()
        }
    }

    /// Why nothing can be booted here, with what to do.
    pub(crate) fn impossible(&self) -> Option<String> {
        if self.kvm && self.arch != Architecture::host() {
            return Some("--kvm runs kernels of this machine's kind only".into());
        }
        impossible(self.arch)
    }
}

/// `cargo xtask kernels`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    Ok(if run(options)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether everything passed on every kernel asked for.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if let Some(reason) = options.impossible() {
        bail!("{reason}");
    }
    let wanted = |release: &&Release| options.series.is_empty() || options.series.iter().any(|s| s == release.series);
    let releases: Vec<&Release> = RELEASES.iter().filter(wanted).collect();
    if releases.is_empty() {
        bail!(
            "no such kernel series; there are {}",
            RELEASES.map(|release| release.series).join(", ")
        );
    }
    // Before the kernels are fetched: a tree that does not build needs none.
    let disk = root::build(options.arch, options.filter.as_deref(), options.memory)?;
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    let mut passed = true;
    for release in releases {
        let image = guest::kernel(release, options.arch)?;
        for version in [2, 1] {
            if options.cgroup.is_some_and(|only| only != version) || (version == 1 && !release.cgroup_v1) {
                continue;
            }
            println!("kernels: {} ({}), cgroup v{version}", release.series, image.release);
            let outcome = boot::boot(&image, &disk, version, options.kvm)?;
            println!("{}", outcome.tally.report());
            passed &= outcome.passed();
            rows.push(outcome.row(&image, version));
            lines.push(format!(
                "kernels: {:<28} cgroup v{version}: {}",
                image.release,
                outcome.line()
            ));
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    if options.write {
        compatibility::write(rows)?;
    }
    Ok(passed)
}
