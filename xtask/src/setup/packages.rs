//! Packages of the distribution: reads names, produces installed packages, or the command that would install them.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, bail};
use observer_tests::places;

use super::need;
use crate::shell;

/// The package lists are refreshed once, and only when an installation failed without that.
static REFRESHED: AtomicBool = AtomicBool::new(false);

/// Installs Debian packages by name.
pub(super) fn apt(packages: &[&str]) -> Result<()> {
    let line = format!("apt-get install {}", packages.join(" "));
    if places::program("apt-get").is_none() {
        bail!("this is no Debian-like system; install what `{line}` would");
    }
    if !is_root() {
        bail!("not root; run `{line}` as root");
    }
    if lists_are_empty() {
        refresh()?;
    }
    let install = || {
        let fixed = ["install", "-y", "-q", "--no-install-recommends"];
        let mut command = shell::command("apt-get", fixed.iter().chain(packages));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        need::install(command)
    };
    install().or_else(|error| {
        if REFRESHED.load(Ordering::Relaxed) {
            return Err(error);
        }
        refresh()?;
        install()
    })
}

/// Sees to it that there are package lists to look names up in.
pub(super) fn listed() -> Result<()> {
    if lists_are_empty() && is_root() {
        refresh()
    } else {
        Ok(())
    }
}

/// Whether this package can be had.
pub(super) fn known(package: &str) -> bool {
    if places::program("apt-cache").is_none() {
        return false;
    }
    if lists_are_empty() && is_root() && refresh().is_err() {
        return false;
    }
    shell::succeeds(shell::command("apt-cache", ["show", package]))
}

/// Whether this package is installed.
pub(super) fn installed(package: &str) -> bool {
    shell::quiet(shell::command("dpkg-query", ["-W", "-f", "${Status}", package]))
        .is_ok_and(|status| status.ends_with("install ok installed"))
}

fn refresh() -> Result<()> {
    REFRESHED.store(true, Ordering::Relaxed);
    need::install(shell::command("apt-get", ["update", "-q"]))
}

/// A container image often ships without any package list.
fn lists_are_empty() -> bool {
    Path::new("/var/lib/apt/lists").read_dir().map_or(true, |entries| {
        entries.flatten().filter(|entry| entry.path().is_file()).count() < 2
    }) && !REFRESHED.load(Ordering::Relaxed)
}

fn is_root() -> bool {
    observer_tests::need::missing(observer_tests::need::Need::Root).is_none()
}
