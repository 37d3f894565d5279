//! All tests: runs cargo's, reads its output, produces one closing line summed over every test program.

use std::{collections::BTreeMap, env, fs, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use observer_tests::{
    counterpart::{COLLECTOR, HELM, JAEGER, KUBERNETES, PROMETHEUS},
    need,
};

use crate::{compatibility, counterpart, setup, shell};

/// What to test.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    pub(crate) filter: Option<String>,
    /// Only this package
    #[arg(short, long)]
    pub(crate) package: Option<String>,
    /// Do not look for, or install, what is missing
    #[arg(long)]
    pub(crate) no_setup: bool,
    /// Also tests that take minutes, and the counterparts that take longest to build
    #[arg(long)]
    pub(crate) full: bool,
    /// Write what the tests ran with into COMPATIBILITY.md, where nothing failed
    #[arg(long, conflicts_with_all = ["filter", "package"])]
    pub(crate) write: bool,
}

impl Options {
    /// Whether tests of all kinds will run: then all that they need is set up.
    fn needs_everything(&self) -> bool {
        self.filter.is_none() && self.package.is_none()
    }
}

/// `cargo xtask test`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let tally = run(options)?;
    println!("{}", tally.report());
    if options.write && tally.failed == 0 {
        compatibility::write(compatibility::of_this_machine(&tally.closing()))?;
    }
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Sets up, builds the agent with its kernel programs where that is possible, and runs the tests.
pub(crate) fn run(options: &Options) -> Result<Tally> {
    let started = Instant::now();
    let missing = match (options.no_setup, options.needs_everything()) {
        (true, _) => Vec::new(),
        (false, true) => setup::for_testing(),
        (false, false) => setup::for_running(),
    };
    if !missing.is_empty() {
        println!("setup: going on without: {}", missing.join(", "));
    }
    let mut tally = Tally::default();
    let with_kernel_programs = setup::can_build();
    if !with_kernel_programs {
        println!("test: the kernel programs cannot be built here: everything that needs them is skipped");
    }
    build_agent(with_kernel_programs)?;
    if options.full || (options.needs_everything() && !options.no_setup) {
        counterparts(options.full);
    }

    let skips = env::temp_dir().join(format!("observer-skips-{}", std::process::id()));
    let mut command = shell::cargo(["test", "--no-fail-fast"]);
    match &options.package {
        Some(package) => command.args(["--package", package]),
        None => command.args(["--workspace", "--exclude", "observer-ebpf"]),
    };
    if let Some(filter) = &options.filter {
        command.arg(filter);
    }
    command.env(need::SKIPS, &skips);
    if options.full {
        command.env(need::FULL, "1");
    }
    if with_kernel_programs {
        command.env("OBSERVER_REQUIRE_EBPF", "1");
    }
    let succeeded = shell::each_line(command, |line| {
        println!("{line}");
        tally.line(line);
    })?;
    tally.skipped_at_run_time(&fs::read_to_string(&skips).unwrap_or_default());
    // It is there only if something was skipped.
    let _ = fs::remove_file(&skips);
    if !succeeded && tally.failed == 0 {
        // A program that was killed, or did not compile, has no result line of its own.
        tally.fail("cargo test itself (see above): a test program did not build or did not finish");
    }
    println!("test: {} s", started.elapsed().as_secs());
    Ok(tally)
}

/// Those that tests use, built where they are not yet; a test of one that cannot be had is skipped by name.
fn counterparts(full: bool) {
    let usual = [&COLLECTOR, &JAEGER, &KUBERNETES, &HELM];
    for counterpart in usual.into_iter().chain(full.then_some(&PROMETHEUS)) {
        if let Err(error) = counterpart::provide(counterpart) {
            println!("test: {}: {error:#}", counterpart.name);
        }
    }
    if let Err(error) = counterpart::debian_program("prometheus", "usr/bin/prometheus") {
        println!("test: Debian's Prometheus: {error:#}");
    }
}

fn build_agent(with_kernel_programs: bool) -> Result<()> {
    let mut command = shell::cargo(["build", "--package", "observer"]);
    if with_kernel_programs {
        command.env("OBSERVER_REQUIRE_EBPF", "1");
    }
    if command.status().context("cannot start cargo")?.success() {
        return Ok(());
    }
    bail!("the agent does not build")
}

/// Outcomes summed over every test program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    skipped: u64,
    failures: Vec<String>,
    /// Name to reason.
    skips: BTreeMap<String, String>,
}

impl Tally {
    /// One line of libtest's output.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                result
                    .split([';', '.'])
                    .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
                    .unwrap_or(0)
            };
            self.passed += count(" passed");
            self.failed += count(" failed");
            self.skipped += count(" ignored");
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            if outcome == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                self.skips.insert(
                    name.to_owned(),
                    if reason.is_empty() { "ignored" } else { reason }.to_owned(),
                );
            }
        }
    }

    /// Tests that returned early because the machine lacks something: libtest counted them as passed.
    pub(crate) fn skipped_at_run_time(&mut self, lines: &str) {
        for (name, reason) in lines.lines().filter_map(|line| line.split_once('\t')) {
            if self.skips.insert(name.to_owned(), reason.to_owned()).is_none() {
                self.passed = self.passed.saturating_sub(1);
                self.skipped += 1;
            }
        }
    }

    /// Who failed, who was skipped and why, and the closing line.
    pub(crate) fn report(&self) -> String {
        let failures = self.failures.iter().map(|name| format!("failed: {name}\n"));
        let skips = self
            .skips
            .iter()
            .map(|(name, reason)| format!("skipped: {name}: {reason}\n"));
        failures.chain(skips).chain([self.closing()]).collect()
    }

    /// The closing line alone.
    pub(crate) fn closing(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }

    /// A failure that no test's own line tells.
    pub(crate) fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.push(what.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn sums_over_programs_and_takes_skips_out_of_the_passed() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test a::slow ... ignored, needs a day",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.31s",
        ] {
            tally.line(line);
        }
        tally.skipped_at_run_time("oom::a_kill_is_seen\tnot root\n");
        assert_eq!(
            tally.report(),
            "failed: a::c\nskipped: a::slow: needs a day\nskipped: oom::a_kill_is_seen: not root\n12 passed, 1 failed, 2 skipped"
        );
    }
}
