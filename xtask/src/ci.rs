//! What CI runs: reads nothing but the tree, produces one line per step and stops for none, so that one run shows all
//! that is wrong.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use observer_tests::places;

use crate::{kernels, setup, shell, test, tidy};

/// How much to check.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Also what takes long or fetches much: dependencies (builds cargo-deny where it is missing), the kernel matrix,
    /// tests that take minutes and the counterparts they need
    #[arg(long)]
    full: bool,
    /// Only steps whose name contains this, and no tests
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Everything but the tests
    #[arg(long)]
    no_tests: bool,
}

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(String),
}

/// Its name, and what it does.
type Step = (&'static str, fn() -> Result<Outcome>);

/// Steps of every run.
const STEPS: &[Step] = &[
    ("formatting", formatting),
    ("tidy", tidiness),
    ("clippy, host", clippy_host),
    ("clippy, kernel programs", clippy_kernel),
    ("documentation", documentation),
];

/// Steps of `--full`, after the tests: slow ones, and those that fetch or build something large. Another one is one
/// more line here; where it cannot run it is `Skipped` with the reason.
const FULL: &[Step] = &[
    ("dependencies: licences, bans, sources", dependencies),
    ("dependencies: advisories", advisories),
    ("kernel matrix", kernel_matrix),
    ("kernels on arm64", kernels_on_arm64),
    ("observer memory on cgroup v2", memory_on_v2),
];

/// `cargo xtask ci`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let wanted = |(name, _): &&Step| options.only.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let mut results = Vec::new();
    STEPS.iter().filter(wanted).for_each(|step| results.push(take(*step)));
    let tally = if options.no_tests || options.only.is_some() {
        None
    } else {
        let options = test::Options {
            full: options.full,
            ..test::Options::default()
        };
        Some(test::run(&options)?)
    };
    if options.full {
        FULL.iter().filter(wanted).for_each(|step| results.push(take(*step)));
    }
    let mut passed = true;
    for (name, took, result) in &results {
        let outcome = match result {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
            Err(_) => {
                passed = false;
                "FAILED".to_owned()
            }
        };
        println!("ci: {name}: {outcome} ({} s)", took.as_secs());
    }
    if let Some(tally) = tally {
        passed &= tally.failed == 0;
        println!("{}", tally.report());
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes one step: its name, how long it took, how it ended.
fn take((name, step): Step) -> (&'static str, Duration, Result<Outcome>) {
    println!("ci: {name}");
    let started = Instant::now();
    let result = step();
    if let Err(error) = &result {
        println!("{error:#}");
    }
    (name, started.elapsed(), result)
}

fn formatting() -> Result<Outcome> {
    shell::run(shell::cargo(["fmt", "--all", "--", "--check"])).map(|()| Outcome::Passed)
}

fn tidiness() -> Result<Outcome> {
    let breaches = tidy::check()?;
    if breaches.is_empty() {
        return Ok(Outcome::Passed);
    }
    let listed: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    bail!("{}", listed.join("\n"))
}

fn clippy_host() -> Result<Outcome> {
    let fixed = [
        "clippy",
        "--workspace",
        "--exclude",
        "observer-ebpf",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    // The demo's build, which leaves Kubernetes out.
    let small = [
        "clippy",
        "--package",
        "observer",
        "--no-default-features",
        "--",
        "-D",
        "warnings",
    ];
    for arguments in [fixed.as_slice(), small.as_slice()] {
        let mut command = shell::cargo(arguments);
        // A wrapper that caches compilations does not know that clippy's arguments make another outcome.
        command.env("RUSTC_WRAPPER", "");
        shell::run(command)?;
    }
    Ok(Outcome::Passed)
}

/// A pass of its own: in one with the host's crates two panic handlers would collide.
fn clippy_kernel() -> Result<Outcome> {
    let Some(toolchain) = setup::kernel_toolchain() else {
        return Ok(Outcome::Skipped(
            "no toolchain with rust-src; `cargo xtask setup`".into(),
        ));
    };
    if !shell::succeeds(shell::command(
        "rustup",
        ["run", toolchain, "cargo", "clippy", "--version"],
    )) {
        return Ok(Outcome::Skipped(format!("toolchain {toolchain} has no clippy")));
    }
    let fixed = [
        "run",
        toolchain,
        "cargo",
        "clippy",
        "--package",
        "observer-ebpf",
        "--release",
    ];
    let mut command = shell::command("rustup", fixed);
    command
        .args([
            "--target",
            "bpfel-unknown-none",
            "-Z",
            "build-std=core",
            "--",
            "-D",
            "warnings",
        ])
        .env("RUSTC_BOOTSTRAP", "1")
        // Cargo's proxy hands its own toolchain down to everything it starts.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTC_WRAPPER", "")
        .env_remove("RUSTC")
        .env("CARGO_ENCODED_RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\"")
        .env("CARGO_TARGET_DIR", places::target().join("clippy-kernel"));
    shell::run(command).map(|()| Outcome::Passed)
}

fn documentation() -> Result<Outcome> {
    let mut command = shell::cargo(["doc", "--workspace", "--exclude", "observer-ebpf", "--no-deps"]);
    command
        .args(["--document-private-items"])
        // Private items are documented, so links to them lead somewhere.
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    shell::run(command).map(|()| Outcome::Passed)
}

fn kernel_matrix() -> Result<Outcome> {
    kernels_of(&kernels::Options::default())
}

fn kernels_on_arm64() -> Result<Outcome> {
    kernels_of(&kernels::Options::on_arm64())
}

fn memory_on_v2() -> Result<Outcome> {
    kernels_of(&kernels::Options::of_memory())
}

fn kernels_of(options: &kernels::Options) -> Result<Outcome> {
    if let Some(reason) = options.impossible() {
        return Ok(Outcome::Skipped(reason));
    }
    if kernels::run(options)? {
        return Ok(Outcome::Passed);
    }
    bail!("a kernel of the matrix failed (see above)")
}

/// Licences, duplicates and sources, by deny.toml.
fn dependencies() -> Result<Outcome> {
    provide_deny()?;
    // It reads all crates of the lock file, those for other systems too, of which a build here fetches none.
    shell::run(shell::cargo(["fetch", "--locked"]))?;
    shell::run(shell::cargo([
        "deny",
        "--offline",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
    .map(|()| Outcome::Passed)
}

/// Known vulnerabilities: the database is fetched from its own repository, which not every network reaches.
fn advisories() -> Result<Outcome> {
    provide_deny()?;
    if !shell::succeeds(shell::cargo(["deny", "fetch", "db"])) {
        return Ok(Outcome::Skipped(
            "the advisory database cannot be fetched: `cargo deny check advisories` where it can".into(),
        ));
    }
    shell::run(shell::cargo(["deny", "--offline", "check", "advisories"])).map(|()| Outcome::Passed)
}

fn provide_deny() -> Result<()> {
    if places::program("cargo-deny").is_none() {
        shell::run(shell::cargo(["install", "cargo-deny", "--locked"]))?;
    }
    Ok(())
}
