//! `cargo xtask`: set-up, tests, demo, CI and tidy checks of observer.
//!
//! Reads a subcommand, produces its outcome as this program's exit status.

mod architecture;
mod bench;
mod ci;
mod cluster;
mod compatibility;
mod conventions;
mod counterpart;
mod demo;
mod events;
mod fleet;
mod guest;
mod image;
mod kernels;
mod plugin;
mod recordings;
mod setup;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Works on the observer workspace: `cargo xtask COMMAND`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing to build the kernel programs and to run the tests; never what is there
    Setup(setup::Options),
    /// Run all tests, the privileged ones for real where this machine can, and say what was skipped and why
    Test(test::Options),
    /// Build real counterparts of tests from published modules, into the cache: Collector, Jaeger, Prometheus, Thanos, Kubernetes
    Counterpart(counterpart::Options),
    /// A Kubernetes cluster of one node on this host, from real parts
    Cluster(cluster::Options),
    /// Write the table of published semantic conventions that names are held against, from their model
    Conventions(conventions::Options),
    /// Make the agent's container image: one static program in an OCI archive
    Image(image::Options),
    /// Make the archive and krew's manifest of `kubectl observer`
    Plugin(plugin::Options),
    /// Watch the main job done: a real leak, real kills, the verdict, in about two minutes
    Demo(demo::Options),
    /// Write docs/events: one page for each event, with a record that a real agent sent
    Events(events::Options),
    /// Record the programs of tests/recordings anew: real Node.js in limited containers, leaking and not
    Recordings(recordings::Options),
    /// Many nodes' agents, time compressed, before real Prometheus servers: what they say, and what it costs
    Fleet(fleet::Options),
    /// Boot the kernels of Debian's releases under emulation and run the end-to-end tests there, on cgroup v2 and v1
    Kernels(kernels::Options),
    /// Everything CI checks: formatting, lints, house rules, documentation, tests
    Ci(ci::Options),
    /// The house rules that no compiler checks
    Tidy,
    /// Measure: a subject's figures, and the tables of the documentation
    #[command(subcommand)]
    Bench(bench::Subject),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Setup(options) => setup::command(&options),
        Command::Test(options) => test::command(&options),
        Command::Counterpart(options) => counterpart::command(&options),
        Command::Cluster(options) => cluster::command(&options),
        Command::Conventions(options) => conventions::command(&options),
        Command::Image(options) => image::command(&options),
        Command::Plugin(options) => plugin::command(&options),
        Command::Demo(options) => demo::command(&options),
        Command::Events(options) => events::command(&options),
        Command::Recordings(options) => recordings::command(&options),
        Command::Fleet(options) => fleet::command(&options),
        Command::Kernels(options) => kernels::command(&options),
        Command::Ci(options) => ci::command(&options),
        Command::Tidy => tidy::command(),
        Command::Bench(subject) => bench::command(&subject),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
