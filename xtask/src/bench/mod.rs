//! `cargo xtask bench`: reads a subject, produces its figures.

mod cost;
mod detection;
mod replay;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::shell;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Subject {
    /// What an audit of two weeks costs, on a real server: CPU time and memory, the server's included
    Audit {
        /// Containers in it
        #[arg(default_value_t = 100)]
        containers: u32,
        /// On Debian's VictoriaMetrics, which takes many of them in less time, instead of its Prometheus
        #[arg(long)]
        victoria_metrics: bool,
    },
    /// What the agent costs its host: memory, CPU time, descriptors, the tax on system calls beside what bcc and bpftrace cost, a
    /// busy server beside it
    Cost(cost::Options),
    /// The detector and its peers over the catalogue of leaks and of what only looks like one
    Detection(detection::Options),
    /// What delivery costs: bytes on the wire, events a second and core, spool throughput
    Export,
    /// What reading a heap costs: seconds and memory for 1 GB and for suspects in it, and a busy server's throughput and response
    /// times meanwhile
    Heap,
    /// How fast one's own history is judged, beside reading it, and in how much memory
    Replay(replay::Options),
    /// Time of a frame of `observer top` with 1,000 workloads, and what it costs when it is left alone
    Top {
        /// Seconds that it is left alone
        #[arg(default_value_t = 180)]
        seconds: u32,
    },
}

/// Measures a subject.
pub(crate) fn command(subject: &Subject) -> Result<ExitCode> {
    match subject {
        Subject::Audit {
            containers,
            victoria_metrics,
        } => {
            let server = if *victoria_metrics {
                "victoria-metrics"
            } else {
                "prometheus"
            };
            example_of_program("audit", &[&containers.to_string(), server])
        }
        Subject::Top { seconds } => example_of_program("top", &[&seconds.to_string()]),
        Subject::Cost(options) => cost::command(options),
        Subject::Export => example("export"),
        Subject::Heap => example("heap"),
        Subject::Detection(options) => detection::command(options),
        Subject::Replay(options) => replay::command(options),
    }
}

/// An example that also runs the agent's program.
fn example_of_program(name: &str, arguments: &[&str]) -> Result<ExitCode> {
    shell::run(shell::cargo(["build", "--release", "--package", "observer"]))?;
    let program = observer_tests::places::target().join("release/observer");
    let fixed = [
        "run",
        "--release",
        "--package",
        "observer-tests",
        "--example",
        name,
        "--",
    ];
    let mut command = shell::cargo(fixed);
    command.args(arguments).env("OBSERVER_BIN", program);
    shell::run(command)?;
    Ok(ExitCode::SUCCESS)
}

/// The figures come from the agent's own code, which a program that must build without the kernel programs cannot link: an
/// example of the tests does.
fn example(name: &str) -> Result<ExitCode> {
    let fixed = ["run", "--release", "--package", "observer-tests", "--example"];
    shell::run(shell::cargo(fixed.into_iter().chain([name])))?;
    Ok(ExitCode::SUCCESS)
}
