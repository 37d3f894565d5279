//! All tests: builds the test programs, runs those first that need no real counterpart, builds the counterparts, runs the
//! rest, and produces a table of what ran and one closing line.

mod options;
mod programs;
mod tally;

use std::{process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, bail};
use observer_tests::counterpart::{
    ACTIONLINT, COLLECTOR, GRAFANA, HELM, HELM3, JAEGER, JSONNET, KREW, KUBERNETES, PROMETHEUS, THANOS, VMALERT,
};

use self::programs::Program;
pub(crate) use self::{options::Options, tally::Tally};
use crate::{compatibility, counterpart, setup, shell};

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
        println!("setup: continuing without: {}", missing.join(", "));
    }
    let with_kernel_programs = setup::can_build();
    if !with_kernel_programs {
        println!("test: the kernel programs cannot be built here: everything that needs them is skipped");
    }
    println!(
        "test: building the agent and the test programs (from a clean checkout some seven minutes of processor time)"
    );
    build_agent(with_kernel_programs)?;
    let programs = programs::build(options, with_kernel_programs)?;
    println!(
        "test: {} test programs, built in {} s",
        programs.len(),
        started.elapsed().as_secs()
    );
    let (with, without): (Vec<Program>, Vec<Program>) =
        programs.into_iter().partition(|program| program.needs_counterpart);
    let mut tally = Tally::default();
    let mut execute = |programs: &[Program]| -> Result<()> {
        for program in programs {
            println!("\ntest: {}", program.name);
            let began = Instant::now();
            let outcome = program.run(options, with_kernel_programs)?;
            tally.add(&program.name, began.elapsed(), outcome);
        }
        Ok(())
    };
    execute(&without)?;
    if !with.is_empty() && (options.full || (options.needs_everything() && !options.no_setup)) {
        let names: Vec<&str> = with.iter().map(|program| program.name.as_str()).collect();
        println!("\ntest: {} run against real counterparts", names.join(", "));
        counterparts(options.full);
    }
    execute(&with)?;
    println!("\ntest: {} s in all", started.elapsed().as_secs());
    Ok(tally)
}

/// Those that tests use, built where they are not yet; a test of one that cannot be had is skipped by name.
fn counterparts(full: bool) {
    println!(
        "test: building those that are missing, once (Kubernetes takes the longest: some ten minutes on two cores)"
    );
    let usual = [
        &COLLECTOR,
        &JAEGER,
        &KUBERNETES,
        &HELM,
        &KREW,
        &JSONNET,
        &GRAFANA,
        &ACTIONLINT,
    ];
    let more = [&PROMETHEUS, &THANOS, &VMALERT, &HELM3];
    for counterpart in usual.into_iter().chain(more.into_iter().filter(|_| full)) {
        if let Err(error) = counterpart::provide(counterpart) {
            println!("test: {}: {error:#}", counterpart.name);
        }
    }
    for package in counterpart::DEBIAN {
        if let Err(error) = counterpart::debian_program(package, &format!("usr/bin/{package}")) {
            println!("test: Debian's {package}: {error:#}");
        }
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
