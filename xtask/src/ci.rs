//! What CI runs: reads nothing but the tree, produces one line per step and stops for none, so that one run shows all
//! that is wrong.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use observer_tests::places;

use crate::{setup, shell, test, tidy};

/// How much to check.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Also licences and sources of dependencies, and tests that take minutes (builds cargo-deny and counterparts)
    #[arg(long)]
    full: bool,
    /// Everything but the tests
    #[arg(long)]
    no_tests: bool,
}

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(String),
}

type Step = (&'static str, Box<dyn Fn() -> Result<Outcome>>);

/// `cargo xtask ci`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let mut steps: Vec<Step> = vec![
        ("formatting", Box::new(formatting)),
        ("tidy", Box::new(tidiness)),
        ("clippy, host", Box::new(clippy_host)),
        ("clippy, kernel programs", Box::new(clippy_kernel)),
        ("documentation", Box::new(documentation)),
    ];
    let full = options.full;
    steps.push(("dependencies", Box::new(move || dependencies(full))));
    let mut results: Vec<(&str, Duration, Result<Outcome>)> = Vec::new();
    for (name, step) in steps {
        println!("ci: {name}");
        let started = Instant::now();
        let result = step();
        if let Err(error) = &result {
            println!("{error:#}");
        }
        results.push((name, started.elapsed(), result));
    }
    let mut passed = true;
    let tally = if options.no_tests {
        None
    } else {
        let options = test::Options {
            full,
            ..test::Options::default()
        };
        Some(test::run(&options)?)
    };
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
    shell::run(shell::cargo(fixed)).map(|()| Outcome::Passed)
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
        .env_remove("RUSTC")
        .env("CARGO_ENCODED_RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\"")
        .env("CARGO_TARGET_DIR", places::target().join("clippy-kernel"));
    shell::run(command).map(|()| Outcome::Passed)
}

fn documentation() -> Result<Outcome> {
    let mut command = shell::cargo(["doc", "--workspace", "--exclude", "observer-ebpf", "--no-deps"]);
    command
        .args(["--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    shell::run(command).map(|()| Outcome::Passed)
}

/// Licences, duplicates and sources. Advisories need a database that cargo-deny fetches itself: `deny.toml` has the
/// section, and who can fetch runs `cargo deny check`.
fn dependencies(install: bool) -> Result<Outcome> {
    if places::program("cargo-deny").is_none() {
        if !install {
            return Ok(Outcome::Skipped("no cargo-deny; `--full` builds it".into()));
        }
        shell::run(shell::cargo(["install", "cargo-deny", "--locked"]))?;
    }
    shell::run(shell::cargo(["deny", "check", "licenses", "bans", "sources"])).map(|()| Outcome::Passed)
}
