//! Package lists of Debian's releases: reads a suite and a machine, produces unpacked packages.
//!
//! They are kept in the cache: this machine's own package sources stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use observer_tests::places;

use crate::{architecture::Architecture, shell};

/// Keys that sign the releases.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The package lists of one release.
pub(super) struct Archive {
    suite: &'static str,
    architecture: Architecture,
    directory: PathBuf,
}

impl Archive {
    pub(super) fn of(suite: &'static str, architecture: Architecture) -> Result<Self> {
        let directory = places::cache().join("kernels/lists").join(architecture.beside(suite));
        for below in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(below);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let machine = architecture.oci();
        let source = format!(
            "deb [arch={machine} signed-by={KEYS}] {}/debian {suite} main\n",
            mirror()?
        );
        let list = directory.join("sources.list");
        fs::write(&list, source).with_context(|| format!("cannot write {}", list.display()))?;
        // Nothing is installed as far as these lists are concerned.
        let status = directory.join("status");
        fs::write(&status, "").with_context(|| format!("cannot write {}", status.display()))?;
        let archive = Self {
            suite,
            architecture,
            directory,
        };
        let mut update = archive.apt("apt-get");
        update.args(["update", "-q"]);
        shell::quiet(update).with_context(|| format!("the package lists of {suite} cannot be had"))?;
        Ok(archive)
    }

    /// An apt command that knows only this release and this machine.
    fn apt(&self, program: &str) -> Command {
        let mut command = shell::command::<&str>(program, []);
        let at = |below: &str| self.directory.join(below).display().to_string();
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("APT::Architecture={}", self.architecture.oci()),
            format!("APT::Architectures::={}", self.architecture.oci()),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ];
        options.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        command
    }

    pub(super) fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let incoming = self.directory.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        fs::create_dir_all(&incoming)?;
        let mut download = self.apt("apt-get");
        download.args(["download", "-q", package]).current_dir(&incoming);
        shell::quiet(download).with_context(|| format!("cannot fetch {package} of {}", self.suite))?;
        extract(&incoming, into)?;
        fs::remove_dir_all(&incoming).with_context(|| format!("cannot remove {}", incoming.display()))
    }

    /// Unpacks packages with all that they depend on; nothing is set up, and no script of theirs runs.
    pub(super) fn unpack_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        let mut download = self.apt("apt-get");
        download.args(["install", "-q", "-y", "--download-only", "--no-install-recommends"]);
        // Its lock is for what is installed on this machine.
        download.args(["-o", "Debug::NoLocking=1"]).args(packages);
        let names = packages.join(" ");
        shell::quiet(download).with_context(|| format!("cannot fetch {names} of {}", self.suite))?;
        extract(&self.directory.join("cache/archives"), into)?;
        shell::quiet({
            let mut clean = self.apt("apt-get");
            clean.arg("clean");
            clean
        })
        .map(drop)
    }

    /// The package behind this one that is a step nearer to the image.
    pub(super) fn next(&self, package: &str) -> Result<String> {
        let mut depends = self.apt("apt-cache");
        depends.args(["depends", "--important", package]);
        let listed = shell::quiet(depends)?;
        listed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| {
                ["linux-image-", "linux-binary-"]
                    .iter()
                    .any(|start| name.starts_with(start))
            })
            .map(str::to_owned)
            .with_context(|| format!("{package} of {} depends on no kernel", self.suite))
    }
}

/// Unpacks every package in a directory.
fn extract(packages: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(packages).with_context(|| format!("cannot read {}", packages.display()))? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            let mut extract = shell::command("dpkg-deb", ["-x"]);
            extract.arg(package).arg(into);
            shell::quiet(extract)?;
        }
    }
    Ok(())
}

/// The mirror this machine takes Debian from, so that a site's own one is used.
fn mirror() -> Result<String> {
    let mut texts: Vec<String> = fs::read_to_string("/etc/apt/sources.list").into_iter().collect();
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        texts.extend(fs::read_to_string(entry.path()));
    }
    texts
        .iter()
        .flat_map(|text| text.split_whitespace())
        .find_map(|word| {
            let base = word.strip_suffix('/').unwrap_or(word).strip_suffix("/debian")?;
            base.starts_with("http").then(|| base.to_owned())
        })
        .context("the package sources of this machine (/etc/apt) name no Debian mirror")
}
