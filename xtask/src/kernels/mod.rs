//! The kernel matrix: boots the kernels of Debian's releases under emulation, runs the end-to-end tests of the kernel
//! half and of the sources there, on cgroup v2 and v1, and produces one line per boot.
//!
//! One host has one kernel and one cgroup version; what a verifier of another release refuses, or a file that another
//! version names differently, shows only there. Everything fetched is kept in the cache, outside the repository.

mod boot;
mod fetch;
mod root;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::{ci, compatibility, test::Tally};

/// A Debian release and the kernel series it carries.
#[derive(Clone, Copy, Debug)]
struct Release {
    suite: &'static str,
    series: &'static str,
    /// Whether its configuration still has the memory controller of cgroup v1.
    cgroup_v1: bool,
}

const RELEASES: [Release; 4] = [
    Release {
        suite: "bullseye",
        series: "5.10",
        cgroup_v1: true,
    },
    Release {
        suite: "bookworm",
        series: "6.1",
        cgroup_v1: true,
    },
    Release {
        suite: "trixie",
        series: "6.12",
        cgroup_v1: false,
    },
    Release {
        suite: "sid",
        series: "7.2",
        cgroup_v1: false,
    },
];

/// Which kernels to boot, and what to run there.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only kernels of these series, such as 6.1; all by default
    series: Vec<String>,
    /// Only on this cgroup version
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    cgroup: Option<u8>,
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

/// `cargo xtask kernels`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    Ok(if run(options)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The matrix as a step of `cargo xtask ci --full`.
pub(crate) fn step() -> Result<ci::Outcome> {
    if let Some(reason) = fetch::impossible() {
        return Ok(ci::Outcome::Skipped(reason));
    }
    if run(&Options::default())? {
        return Ok(ci::Outcome::Passed);
    }
    bail!("a kernel of the matrix failed (see above)")
}

/// Whether everything passed on every kernel asked for.
fn run(options: &Options) -> Result<bool> {
    if let Some(reason) = fetch::impossible() {
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
    let disk = root::build(options.filter.as_deref())?;
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    let mut passed = true;
    for release in releases {
        let image = fetch::kernel(release)?;
        for version in [2, 1] {
            if options.cgroup.is_some_and(|only| only != version) || (version == 1 && !release.cgroup_v1) {
                continue;
            }
            println!("kernels: {} ({}), cgroup v{version}", release.series, image.release);
            let outcome = boot::boot(&image, &disk, version, options.kvm)?;
            passed &= outcome.passed();
            rows.push(outcome.row(&image.release, version));
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

/// What one boot came to.
#[derive(Debug, Default)]
struct Outcome {
    tally: Tally,
    /// The guest ran to its end.
    finished: bool,
    /// Hooks that did not stand on the rung asked for, each with its reason.
    fallen: Vec<String>,
    seconds: u64,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.finished && self.tally.failed == 0 && self.tally.passed > 0
    }

    fn line(&self) -> String {
        format!("{} ({} s)", self.result(), self.seconds)
    }

    fn result(&self) -> String {
        let ended = if self.finished { "" } else { "DID NOT FINISH: " };
        let fallen = if self.fallen.is_empty() {
            "every hook on either rung".to_owned()
        } else {
            format!("fallen: {}", self.fallen.join("; "))
        };
        format!("{ended}{fallen}; {}", self.tally.closing())
    }

    /// What COMPATIBILITY.md says of it.
    fn row(&self, kernel: &str, cgroup: u8) -> compatibility::Row {
        compatibility::Row {
            of: "Kernels".into(),
            what: format!("{kernel} (Debian), cgroup v{cgroup}"),
            how: "`cargo xtask kernels`, emulated x86-64".into(),
            result: self.result(),
            tried: compatibility::today(),
        }
    }
}
