//! Kernels and programs of Debian's releases: reads a suite, produces an unpacked image or root in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use observer_tests::places;

use super::{archive::Archive, release::Release};
use crate::architecture::Architecture;
use crate::shell;

/// Packages followed at most from the one that names the newest kernel to the one that holds the image.
const STEPS: usize = 4;

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) architecture: Architecture,
    /// `uname -r`
    pub(crate) release: String,
    /// Compressed image.
    pub(crate) file: PathBuf,
}

impl Image {
    /// The kernel module of this name, unpacked; `None` where the kernel has it built in.
    pub(crate) fn module(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let above = self.file.ancestors();
        let modules = above
            .flat_map(|directory| ["usr/lib/modules", "lib/modules"].map(|below| directory.join(below)))
            .map(|directory| directory.join(&self.release))
            .find(|directory| directory.join("kernel").is_dir())
            .with_context(|| format!("no modules of {} beside {}", self.release, self.file.display()))?;
        let file = format!("{name}.ko");
        let kernel = modules.join("kernel");
        if let Some(path) = find(&kernel, &file)? {
            return fs::read(&path)
                .map(Some)
                .with_context(|| format!("cannot read {}", path.display()));
        }
        if let Some(path) = find(&kernel, &format!("{file}.xz"))? {
            let unpacked = shell::command("xz", ["--decompress", "--stdout"])
                .arg(&path)
                .output()
                .context("cannot start xz: `apt-get install xz-utils`")?;
            ensure!(unpacked.status.success(), "xz cannot unpack {}", path.display());
            return Ok(Some(unpacked.stdout));
        }
        let built_in = fs::read_to_string(modules.join("modules.builtin")).unwrap_or_default();
        let is_there = built_in.lines().any(|line| line.rsplit('/').next() == Some(&file));
        ensure!(is_there, "no module {name} below {}", modules.display());
        Ok(None)
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

/// Why no kernel of this machine can be booted here, with what to do; `None` where it can.
pub(crate) fn impossible(architecture: Architecture) -> Option<String> {
    if architecture == Architecture::X86_64 && Architecture::host() != architecture {
        return Some("x86-64 kernels are booted with this host's programs, which are others".into());
    }
    let lacking = [
        architecture.emulator(),
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
pub(crate) fn kernel(release: &Release, architecture: Architecture) -> Result<Image> {
    let directory = places::cache()
        .join("kernels")
        .join(architecture.beside(release.series));
    if let Some(image) = unpacked(&directory, architecture)? {
        return Ok(image);
    }
    println!("kernels: fetching {} of Debian's {}", release.series, release.suite);
    let archive = Archive::of(release.suite, architecture)?;
    let newest = format!("linux-image-cloud-{}", architecture.oci());
    let mut package = newest.clone();
    for _ in 0..STEPS {
        archive.unpack(&package, &directory)?;
        if let Some(image) = unpacked(&directory, architecture)? {
            return Ok(image);
        }
        package = archive.next(&package)?;
    }
    bail!("{newest} of {} leads to no kernel image", release.suite)
}

/// Unpacks a package of another release than this machine's.
pub(crate) fn unpack_of(suite: &'static str, package: &str, into: &Path) -> Result<()> {
    Archive::of(suite, Architecture::host())?.unpack(package, into)
}

/// Packages of a release with all they depend on, unpacked into one directory of the cache: fetched where it is not there, or
/// where it holds others.
pub(crate) fn root_of(suite: &'static str, architecture: Architecture, packages: &[&str]) -> Result<PathBuf> {
    let finished = places::cache().join("kernels").join(architecture.beside("root"));
    let list = finished.join("packages");
    let wanted = format!("{suite}: {}", packages.join(" "));
    if fs::read_to_string(&list).is_ok_and(|there| there == wanted) {
        return Ok(finished);
    }
    println!("kernels: fetching {wanted} ({})", architecture.oci());
    if finished.exists() {
        fs::remove_dir_all(&finished).with_context(|| format!("cannot remove {}", finished.display()))?;
    }
    Archive::of(suite, architecture)?.unpack_with_dependencies(packages, &finished)?;
    // Last: a root without it is half of one.
    fs::write(&list, wanted).with_context(|| format!("cannot write {}", list.display()))?;
    Ok(finished)
}

/// The kernel below this directory: `boot/vmlinuz-RELEASE`, or `usr/lib/modules/RELEASE/vmlinuz` as from 7.2 on.
fn unpacked(directory: &Path, architecture: Architecture) -> Result<Option<Image>> {
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
                return Ok(Some(Image {
                    architecture,
                    release,
                    file,
                }));
            }
        }
    }
    Ok(None)
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
            assert!(unpacked(scratch.path(), Architecture::host())?.is_none());
            for file in [beside, image] {
                let file = scratch.file(file);
                fs::create_dir_all(file.parent().context("no directory")?)?;
                assert!(unpacked(scratch.path(), Architecture::host())?.is_none());
                fs::write(file, [])?;
            }
            let found = unpacked(scratch.path(), Architecture::host())?.context("not found")?;
            assert!(
                image.contains(&found.release) && found.file.ends_with(image),
                "{found:?}"
            );
        }
        Ok(())
    }
}
