//! Kernels of Debian's releases: reads a suite, produces an unpacked image in the cache.
//!
//! Package lists of other releases are kept in the cache as well: this machine's own package sources stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;

use super::release::Release;
use crate::shell;

/// Package that names the newest kernel of a release.
const NEWEST: &str = "linux-image-cloud-amd64";
/// Keys that sign the releases.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Packages followed at most from [`NEWEST`] to the one that holds the image.
const STEPS: usize = 4;

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// `uname -r`
    pub(crate) release: String,
    /// Compressed image.
    pub(crate) file: PathBuf,
}

impl Image {
    /// The compressed kernel module of this name.
    pub(crate) fn module(&self, name: &str) -> Result<PathBuf> {
        let above = self.file.ancestors();
        let modules = above
            .flat_map(|directory| ["usr/lib/modules", "lib/modules"].map(|below| directory.join(below)))
            .map(|directory| directory.join(&self.release).join("kernel"))
            .find(|directory| directory.is_dir())
            .with_context(|| format!("no modules of {} beside {}", self.release, self.file.display()))?;
        find(&modules, &format!("{name}.ko.xz"))?
            .with_context(|| format!("no module {name} below {}", modules.display()))
    }
}

/// The first file of this name below a directory.
fn find(directory: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Why no kernel can be booted here, with what to do; `None` where it can.
pub(crate) fn impossible() -> Option<String> {
    if std::env::consts::ARCH != "x86_64" {
        return Some("only x86-64 kernels are booted".into());
    }
    let lacking = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("apt-get", "apt"),
        ("dpkg-deb", "dpkg"),
    ];
    let package = lacking
        .into_iter()
        .find(|(program, _)| places::program(program).is_none())?
        .1;
    Some(format!("no {package}: `apt-get install {package}`"))
}

/// The newest kernel of a release: the cached one, fetched where there is none.
pub(crate) fn kernel(release: &Release) -> Result<Image> {
    let directory = places::cache().join("kernels").join(release.series);
    if let Some(image) = unpacked(&directory)? {
        return Ok(image);
    }
    println!("kernels: fetching {} of Debian's {}", release.series, release.suite);
    let archive = Archive::of(release.suite)?;
    let mut package = NEWEST.to_owned();
    for _ in 0..STEPS {
        archive.unpack(&package, &directory)?;
        if let Some(image) = unpacked(&directory)? {
            return Ok(image);
        }
        package = archive.next(&package)?;
    }
    bail!("{NEWEST} of {} leads to no kernel image", release.suite)
}

/// Unpacks a package of another release than this machine's.
pub(crate) fn unpack_of(suite: &'static str, package: &str, into: &Path) -> Result<()> {
    Archive::of(suite)?.unpack(package, into)
}

/// The kernel below this directory: `boot/vmlinuz-RELEASE`, or `usr/lib/modules/RELEASE/vmlinuz` as from 7.2 on.
fn unpacked(directory: &Path) -> Result<Option<Image>> {
    for below in ["boot", "usr/lib/modules"] {
        let directory = directory.join(below);
        if !directory.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let (release, file) = match name.strip_prefix("vmlinuz-") {
                Some(release) => (release.to_owned(), entry.path()),
                None => (name, entry.path().join("vmlinuz")),
            };
            if file.is_file() {
                return Ok(Some(Image { release, file }));
            }
        }
    }
    Ok(None)
}

/// The package lists of one release.
struct Archive {
    suite: &'static str,
    directory: PathBuf,
}

impl Archive {
    fn of(suite: &'static str) -> Result<Self> {
        let directory = places::cache().join("kernels/lists").join(suite);
        for below in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(below);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let source = format!("deb [signed-by={KEYS}] {}/debian {suite} main\n", mirror()?);
        let list = directory.join("sources.list");
        fs::write(&list, source).with_context(|| format!("cannot write {}", list.display()))?;
        let archive = Self { suite, directory };
        let mut update = archive.apt("apt-get");
        update.args(["update", "-q"]);
        shell::quiet(update).with_context(|| format!("the package lists of {suite} cannot be had"))?;
        Ok(archive)
    }

    /// An apt command that knows only this release.
    fn apt(&self, program: &str) -> Command {
        let mut command = shell::command::<&str>(program, []);
        let at = |below: &str| self.directory.join(below).display().to_string();
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ];
        options.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        command
    }

    fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let incoming = self.directory.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        fs::create_dir_all(&incoming)?;
        let mut download = self.apt("apt-get");
        download.args(["download", "-q", package]).current_dir(&incoming);
        shell::quiet(download).with_context(|| format!("cannot fetch {package} of {}", self.suite))?;
        for entry in fs::read_dir(&incoming)? {
            let mut extract = shell::command("dpkg-deb", ["-x"]);
            extract.arg(entry?.path()).arg(into);
            shell::quiet(extract)?;
        }
        fs::remove_dir_all(&incoming).with_context(|| format!("cannot remove {}", incoming.display()))
    }

    /// The package behind this one that is a step nearer to the image.
    fn next(&self, package: &str) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use observer_tests::stage::Scratch;

    use super::*;

    #[test]
    fn an_image_is_found_in_either_place() -> Result<()> {
        for (image, beside) in [
            ("boot/vmlinuz-6.12.117-cloud", "boot/System.map-6.12.117-cloud"),
            (
                "usr/lib/modules/7.2.13-cloud/vmlinuz",
                "usr/share/doc/linux-binary/changelog",
            ),
        ] {
            let scratch = Scratch::new("image")?;
            assert!(unpacked(scratch.path())?.is_none());
            for file in [beside, image] {
                let file = scratch.file(file);
                fs::create_dir_all(file.parent().context("no directory")?)?;
                assert!(unpacked(scratch.path())?.is_none());
                fs::write(file, [])?;
            }
            let found = unpacked(scratch.path())?.context("not found")?;
            assert!(
                image.contains(&found.release) && found.file.ends_with(image),
                "{found:?}"
            );
        }
        Ok(())
    }
}
