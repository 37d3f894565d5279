//! The root of a guest: reads programs, libraries and directories of this host, produces one initial RAM file system.
//!
//! Programs are taken as they are, with the libraries they name: a guest differs from the host in its kernel and its
//! cgroups, in nothing else.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;

use super::Image;
use crate::shell;

/// The root as a directory.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    libraries: BTreeSet<PathBuf>,
}

impl Tree {
    /// An empty one below this directory, which is made as it fills.
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self {
            root,
            libraries: BTreeSet::new(),
        }
    }

    /// Removes it.
    pub(crate) fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.root).context("cannot remove the guest's root after packing it")
    }

    /// Where a path of the guest lies here.
    pub(crate) fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// An empty directory.
    pub(crate) fn directory(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))
    }

    /// A program with the libraries it names.
    pub(crate) fn program(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.file(from, to)?;
        executable(&self.at(to))?;
        // Tests come with hundreds of megabytes of debugging information, which nobody reads in the guest. Those for another
        // machine were built without, and are static.
        if places::program("strip").is_some() && from.starts_with(places::target().join("debug")) {
            shell::quiet(shell::command("strip", [self.at(to)]))?;
        }
        self.libraries_of(from)
    }

    /// The libraries that a program or a module names, where it names them.
    pub(crate) fn libraries_of(&mut self, from: &Path) -> Result<()> {
        // A static one names none, and `ldd` says so by failing.
        let listed = shell::quiet(shell::command("ldd", [from])).unwrap_or_default();
        for library in listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .map(PathBuf::from)
        {
            if self.libraries.insert(library.clone()) {
                self.file(&library.canonicalize()?, &library)?;
            }
        }
        Ok(())
    }

    /// Modules of a kernel, in `/modules`; the names of those that are not built in.
    pub(crate) fn modules<'n>(&self, kernel: &Image, names: &[&'n str]) -> Result<Vec<&'n str>> {
        self.directory("modules")?;
        let mut loaded = Vec::new();
        for name in names {
            if let Some(module) = kernel.module(name)? {
                fs::write(self.root.join(format!("modules/{name}.ko")), module)?;
                loaded.push(*name);
            }
        }
        Ok(loaded)
    }

    /// Python's own library, with what its modules need.
    pub(crate) fn python(&mut self) -> Result<()> {
        let ask = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        let python = installed("python3").context("no python3: `apt-get install python3`")?;
        let answer = shell::quiet(shell::command(&python.display().to_string(), ["-c", ask]))?;
        let library = Path::new(answer.trim());
        for module in fs::read_dir(library.join("lib-dynload"))
            .into_iter()
            .flatten()
            .flatten()
        {
            self.libraries_of(&module.path())?;
        }
        self.copy(library, library)
    }

    /// A symbolic link.
    pub(crate) fn link(&self, target: &str, at: &Path) -> Result<()> {
        let at = self.at(at);
        symlink(target, &at).with_context(|| format!("cannot make {}", at.display()))
    }

    /// A file as it is here.
    pub(crate) fn file(&self, from: &Path, to: &Path) -> Result<()> {
        let to = self.at(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::copy(from, &to)
            .map(drop)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    }

    /// A directory as it is here.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                self.copy(&entry.path(), &target)?;
            } else if entry.path().is_file() {
                self.file(&entry.path(), &target)?;
            }
        }
        Ok(())
    }

    /// Packs the tree as the kernel unpacks it (`newc`).
    pub(crate) fn pack(&self, into: &Path) -> Result<()> {
        let mut find = Command::new("busybox")
            .args(["find", "."])
            .current_dir(&self.root)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start busybox")?;
        let names = find.stdout.take().context("no output of find")?;
        let archive = fs::File::create(into).with_context(|| format!("cannot write {}", into.display()))?;
        let packed = Command::new("busybox")
            .args(["cpio", "-o", "-H", "newc"])
            .current_dir(&self.root)
            .stdin(names)
            .stdout(archive)
            .stderr(Stdio::null())
            .status()
            .context("cannot start busybox")?;
        let found = find.wait()?;
        if packed.success() && found.success() {
            return Ok(());
        }
        bail!("the guest's root could not be packed: {packed}")
    }
}

/// A program of this name that is one: what stands first in `PATH` may be a script that chooses among versions.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter_map(|directory| directory.join(name).canonicalize().ok())
        .find(|program| fs::read(program).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")))
}

/// Sets the bits that let everybody run it.
pub(crate) fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
