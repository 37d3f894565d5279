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
    unpack_together(package, &[package.to_owned()])
}

/// Debian's build of Node.js, V8 in a shared library, with the libraries it needs: unpacked at [`places::debian_node`].
/// Returns the packages that hold those parts of its own library that it looks for below `/usr/share`.
pub(crate) fn node() -> Result<Vec<String>> {
    let names = shell::quiet(shell::command("apt-cache", ["pkgnames", "libnode"]))?;
    let library = names.lines().filter(|name| {
        let number = name.strip_prefix("libnode").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let library = library
        .max_by_key(|name| (name.len(), (*name).to_owned()))
        .context("no package libnodeN is known here; `apt-get update`")?;
    let shown = shell::quiet(shell::command("apt-cache", ["show", "--no-all-versions", library]))?;
    let version = shown
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
        .with_context(|| format!("apt-cache tells no version of {library}"))?;
    let depends = shell::quiet(shell::command("apt-cache", ["depends", "--important", library]))?;
    // The C and C++ libraries are this system's own: the loader comes with them.
    let system = ["libc6", "libgcc-s1", "libstdc++6"];
    let (scripts, libraries): (Vec<&str>, Vec<&str>) = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|name| !name.starts_with('<') && !system.contains(name))
        .partition(|name| name.starts_with("node-"));
    // Another repository's `nodejs` may stand beside Debian's: the library's version is the right one.
    let packages: Vec<String> = [format!("nodejs={version}"), library.to_owned()]
        .into_iter()
        .chain(libraries.into_iter().map(str::to_owned))
        .collect();
    unpack_together("nodejs", &packages)?;
    Ok(scripts.into_iter().map(str::to_owned).collect())
}

/// Fetches packages and unpacks them into one directory, named after the first.
fn unpack_together(name: &str, packages: &[String]) -> Result<()> {
    if places::program("apt-get").is_none() || places::program("dpkg-deb").is_none() {
        bail!("no {name} in PATH, and this is no Debian-like system to take it from: install {name}");
    }
    let finished = directory(name);
    let unpacking = finished.with_extension("unpacking");
    println!(
        "counterpart: {name} is missing: unpacking Debian's into {}",
        finished.display()
    );
    for leftover in [&unpacking, &finished] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).with_context(|| format!("cannot remove {}", leftover.display()))?;
        }
    }
    fs::create_dir_all(&unpacking).with_context(|| format!("cannot make {}", unpacking.display()))?;
    let mut download = shell::command("apt-get", ["download", "-q"]);
    download.args(packages).current_dir(&unpacking);
    shell::quiet(download).with_context(|| {
        format!(
            "cannot fetch {}; are the package lists there? `apt-get update`",
            packages.join(" ")
        )
    })?;
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
