//! The guest's root: reads this host's programs and the built tests, produces one initial RAM file system.
//!
//! Programs are taken as they are, with the libraries they name: the guest differs from the host in its kernel and its
//! cgroups, in nothing else.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{places, stage::Scratch};

use crate::shell;

/// Test programs that need neither containers nor a network.
const TESTS: [&str; 3] = ["kernel", "rungs", "source"];
/// What they run, beside BusyBox's own.
const PROGRAMS: [&str; 2] = ["python3", "setpriv"];
/// Where the tests find what they run. Not where this checkout has it: the guest may mount over that.
const FIXTURES: &str = "/fixtures";
/// What the guest does: `/init`.
const INIT: &str = include_str!("init.sh");

/// The packed root, removed with this.
pub(super) struct Disk {
    scratch: Scratch,
}

impl Disk {
    /// The archive.
    pub(super) fn file(&self) -> PathBuf {
        self.scratch.file("root.cpio")
    }

    /// A file beside it.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.scratch.file(name)
    }
}

/// The root with the tests of this tree in it; `filter` narrows them.
pub(super) fn build(filter: Option<&str>) -> Result<Disk> {
    let tests = built_tests()?;
    let scratch = Scratch::new("guest")?;
    let root = scratch.file("root");
    let mut tree = Tree {
        root,
        libraries: BTreeSet::new(),
    };
    for directory in ["dev", "proc", "sys", "tmp", "bin", "sbin", "tests"] {
        tree.directory(directory)?;
    }
    let busybox = places::program("busybox").context("no busybox")?;
    tree.program(&busybox, Path::new("/bin/busybox"))?;
    for name in PROGRAMS {
        if let Some(program) = installed(name) {
            tree.program(&program, &Path::new("/usr/bin").join(name))?;
        }
    }
    tree.python()?;
    let node = places::node().context("no Node.js: `cargo xtask setup`")?;
    tree.program(&node.canonicalize()?, Path::new("/usr/bin/node"))?;
    tree.program(&places::agent(), Path::new("/usr/bin/observer"))?;
    for (name, program) in &tests {
        tree.program(program, &Path::new("/tests").join(name))?;
    }
    tree.copy(&places::fixtures(), Path::new(FIXTURES))?;
    let init = tree.at(Path::new("/init"));
    let script = INIT
        .replace("@FILTER@", filter.unwrap_or(""))
        .replace("@FIXTURES@", FIXTURES);
    fs::write(&init, script)?;
    executable(&init)?;
    tree.pack(&scratch.file("root.cpio"))?;
    let disk = Disk { scratch };
    fs::remove_dir_all(&tree.root).context("cannot remove the guest's root after packing it")?;
    Ok(disk)
}

/// Builds the tests, with the kernel programs, and says where each is.
fn built_tests() -> Result<Vec<(&'static str, PathBuf)>> {
    println!("kernels: building the agent and the tests");
    let mut agent = shell::cargo(["build", "--quiet", "--package", "observer"]);
    agent.env("OBSERVER_REQUIRE_EBPF", "1");
    shell::run(agent)?;
    let mut command = shell::cargo([
        "test",
        "--quiet",
        "--no-run",
        "--message-format=json",
        "--package",
        "observer-tests",
    ]);
    for name in TESTS {
        command.args(["--test", name]);
    }
    command.env("OBSERVER_REQUIRE_EBPF", "1").stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    TESTS
        .into_iter()
        .map(|name| {
            let built = messages.iter().find_map(|message| {
                let ours = message["target"]["name"] == name && message["target"]["kind"][0] == "test";
                ours.then(|| message["executable"].as_str().map(PathBuf::from))?
            });
            Ok((
                name,
                built.with_context(|| format!("cargo names no program for the test {name}"))?,
            ))
        })
        .collect()
}

/// The root as a directory.
struct Tree {
    root: PathBuf,
    libraries: BTreeSet<PathBuf>,
}

impl Tree {
    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn directory(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))
    }

    /// A program with the libraries it names.
    fn program(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.file(from, to)?;
        executable(&self.at(to))?;
        // Tests come with hundreds of megabytes of debugging information, which nobody reads in the guest.
        if places::program("strip").is_some() && from.starts_with(places::target()) {
            shell::quiet(shell::command("strip", [self.at(to)]))?;
        }
        self.libraries_of(from)
    }

    /// The libraries that a program or a module names, where it names them.
    fn libraries_of(&mut self, from: &Path) -> Result<()> {
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

    /// Python's own library, with what its modules need.
    fn python(&mut self) -> Result<()> {
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

    fn file(&self, from: &Path, to: &Path) -> Result<()> {
        let to = self.at(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::copy(from, &to)
            .map(drop)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
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
    fn pack(&self, into: &Path) -> Result<()> {
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
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter_map(|directory| directory.join(name).canonicalize().ok())
        .find(|program| fs::read(program).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")))
}

fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
