//! Programs out of Debian packages: reads a package's name, produces its files unpacked in the cache.
//!
//! Unpacked, not installed: an installed containerd or Prometheus would start as a service of this machine.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use observer_tests::{counterpart, places};

use crate::shell;

/// The program at `below` (a path inside `package`): the one in `PATH`, else the cached one, fetched if need be.
pub(crate) fn program(package: &str, below: &str) -> Result<PathBuf> {
    if let Some(path) = counterpart::debian_program(package, below) {
        return Ok(path);
    }
    unpack(package)?;
    counterpart::debian_program(package, below)
        .with_context(|| format!("the Debian package {package} holds no {below}"))
}

/// Where a package's files are once unpacked.
pub(crate) fn directory(package: &str) -> PathBuf {
    places::cache().join("counterparts").join(format!("debian-{package}"))
}

/// Fetches the package and unpacks it into the cache.
pub(crate) fn unpack(package: &str) -> Result<()> {
    if places::program("apt-get").is_none() || places::program("dpkg-deb").is_none() {
        bail!("no {package} in PATH, and this is no Debian-like system to take it from: install {package}");
    }
    let finished = directory(package);
    let unpacking = finished.with_extension("unpacking");
    println!(
        "counterpart: {package} is missing: unpacking Debian's into {}",
        finished.display()
    );
    for leftover in [&unpacking, &finished] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).with_context(|| format!("cannot remove {}", leftover.display()))?;
        }
    }
    fs::create_dir_all(&unpacking).with_context(|| format!("cannot make {}", unpacking.display()))?;
    let mut download = shell::command("apt-get", ["download", "-q", package]);
    download.current_dir(&unpacking);
    shell::quiet(download)
        .with_context(|| format!("cannot fetch {package}; are the package lists there? `apt-get update`"))?;
    let archives = fs::read_dir(&unpacking)?.collect::<std::io::Result<Vec<_>>>()?;
    for archive in archives.iter().map(fs::DirEntry::path) {
        let mut extract = shell::command("dpkg-deb", ["-x"]);
        extract.arg(&archive).arg(&unpacking);
        shell::quiet(extract)?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    fs::rename(&unpacking, &finished)
        .with_context(|| format!("cannot rename {} to {}", unpacking.display(), finished.display()))
}
