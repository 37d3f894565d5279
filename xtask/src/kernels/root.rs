//! The guest's root: reads this host's programs and the built tests, produces one initial RAM file system.
//!
//! Programs are taken as they are, with the libraries they name: the guest differs from the host in its kernel and its
//! cgroups, in nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{places, stage::Scratch};

use super::{foreign, volume};
use crate::{
    architecture::Architecture,
    guest::{Image, Tree, executable, installed},
    image::{QUICK, cross},
    shell,
};

/// Test programs that need neither containers nor a network.
const TESTS: &[&str] = &["kernel", "rungs", "source"];
/// What they run, beside BusyBox's own.
const PROGRAMS: &[&str] = &["python3", "setpriv"];
/// The test program of `observer memory`, and what it runs besides.
const MEMORY_TESTS: &[&str] = &["memory"];
const RUNTIME: &[&str] = &["runc"];
/// Where the tests find what they run. Not where this checkout has it: the guest may mount over that.
const FIXTURES: &str = "/fixtures";
/// What the guest does: `/init`.
const INIT: &str = include_str!("init.sh");

/// The packed root, removed with this.
pub(super) struct Disk {
    scratch: Scratch,
    /// There is a disk beside it.
    has_volume: bool,
}

impl Disk {
    /// The archive for a kernel, with the modules that this one needs for the disk.
    pub(super) fn for_kernel(&self, kernel: &Image) -> Result<PathBuf> {
        let archive = self.scratch.file("root.cpio");
        if self.has_volume {
            volume::with_modules(&archive, kernel, &self.scratch)
        } else {
            Ok(archive)
        }
    }

    /// The image of the guest's disk, where it has one.
    pub(super) fn volume(&self) -> Option<PathBuf> {
        self.has_volume.then(|| volume::file(&self.scratch))
    }

    /// A file beside it.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.scratch.file(name)
    }
}

/// The root with the tests of this tree in it, those of `observer memory` and their disk where `memory` asks for them; `filter`
/// narrows them.
pub(super) fn build(architecture: Architecture, filter: Option<&str>, memory: bool) -> Result<Disk> {
    let foreign = architecture != Architecture::host();
    let names = if memory { MEMORY_TESTS } else { TESTS };
    let (agent, tests) = built(foreign.then_some(architecture), names)?;
    let scratch = Scratch::new("guest")?;
    let mut tree = Tree::new(scratch.file("root"));
    for directory in [
        "dev", "proc", "sys", "tmp", "bin", "sbin", "etc", "tests", "root", "disk",
    ] {
        tree.directory(directory)?;
    }
    if foreign {
        foreign::programs(&tree, architecture)?;
    } else {
        programs(&mut tree, if memory { RUNTIME } else { &[] })?;
    }
    if memory {
        volume::make(&scratch, &mut tree)?;
    }
    tree.program(&agent, Path::new("/usr/bin/observer"))?;
    for (name, program) in &tests {
        tree.program(program, &Path::new("/tests").join(name))?;
    }
    tree.copy(&places::fixtures(), Path::new(FIXTURES))?;
    let init = tree.at(Path::new("/init"));
    let script = [
        ("@FILTER@", filter.unwrap_or("")),
        ("@FIXTURES@", FIXTURES),
        ("@LINE@", second_line(architecture)),
        ("@DISK@", volume::MOUNT),
        ("@CACHE@", volume::CACHE),
        ("@COMPILED@", volume::COMPILED),
        ("@TARGET@", volume::TARGET),
    ]
    .iter()
    .fold(INIT.to_owned(), |script, (name, value)| script.replace(name, value));
    fs::write(&init, script)?;
    executable(&init)?;
    tree.pack(&scratch.file("root.cpio"))?;
    let disk = Disk {
        scratch,
        has_volume: memory,
    };
    tree.remove()?;
    Ok(disk)
}

/// This host's own programs.
fn programs(tree: &mut Tree, besides: &[&str]) -> Result<()> {
    let busybox = places::program("busybox").context("no busybox")?;
    tree.program(&busybox, Path::new("/bin/busybox"))?;
    for name in PROGRAMS.iter().chain(besides) {
        if let Some(program) = installed(name) {
            tree.program(&program, &Path::new("/usr/bin").join(name))?;
        }
    }
    tree.python()?;
    let node = places::node().context("no Node.js: `cargo xtask setup`")?;
    tree.program(&node.canonicalize()?, Path::new("/usr/bin/node"))
}

/// The serial line to which the guest writes what came of the tests, beside the kernel's.
const fn second_line(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "ttyS1",
        Architecture::Aarch64 => "ttyS0",
    }
}

/// Builds the agent and the tests, with the kernel programs, for another machine where one is given, and says where each is.
fn built(
    foreign: Option<Architecture>,
    names: &'static [&'static str],
) -> Result<(PathBuf, Vec<(&'static str, PathBuf)>)> {
    println!("kernels: building the agent and the tests");
    let mut command = match foreign {
        // As `cargo xtask test` does, one after the other: what that has built is there.
        None => {
            let mut agent = shell::cargo(["build", "--quiet", "--package", "observer"]);
            agent.env("OBSERVER_REQUIRE_EBPF", "1");
            shell::run(agent)?;
            shell::cargo(["test", "--no-run"])
        }
        // Together, so that no crate is built twice, with other features each time.
        Some(architecture) => {
            let mut command = shell::cargo(["build", "--package", "observer", "--bin", "observer"]);
            cross(&mut command, architecture)?;
            command.args(QUICK.iter().flat_map(|setting| ["--config", setting]));
            command
        }
    };
    command.args(["--quiet", "--message-format=json", "--package", "observer-tests"]);
    for name in names {
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
    let program = |kind: &str, name: &str| {
        messages.iter().find_map(|message| {
            let ours = message["target"]["name"] == name && message["target"]["kind"][0] == kind;
            ours.then(|| message["executable"].as_str().map(PathBuf::from))?
        })
    };
    let agent = match foreign {
        Some(_) => program("bin", "observer").context("cargo names no program for the agent")?,
        None => places::agent(),
    };
    let tests = names.iter().map(|&name| {
        let built = program("test", name).with_context(|| format!("cargo names no program for the test {name}"))?;
        Ok((name, built))
    });
    Ok((agent, tests.collect::<Result<_>>()?))
}
