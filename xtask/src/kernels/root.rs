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

use crate::{
    guest::{Tree, executable, installed},
    shell,
};

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
    let mut tree = Tree::new(scratch.file("root"));
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
    tree.remove()?;
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
