//! The command line: reads arguments, runs one command, produces an exit code.

use std::{path::Path, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::{
    config::Problems,
    terminal::{self, say},
};

mod ask;
mod audit;
mod completions;
mod doctor;
mod doctor_json;
mod examples;
mod exit;
mod explain;
mod format;
mod heap;
mod history;
mod kubectl;
mod memory;
mod ps;
mod raw;
mod replay;
mod replay_csv;
mod report;
mod run;
mod settings;
mod status;
mod target;
mod top;
mod watch;
mod writable;

pub use exit::Exit;
use settings::ConfigArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  it did what it was asked; `run` was stopped by SIGTERM or SIGINT
  1  it failed while running; `watch`: the command failed
  2  the command line or the configuration cannot be used
  3  `doctor`: something the agent wants is not possible on this host; `audit`, `watch`: something leaks
  4  `watch`: it could not be judged";

/// Finds memory leaks of Node.js services from the outside.
#[derive(Debug, Parser)]
#[command(name = "observer", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Observe this host and say what is found
    #[command(after_help = examples::RUN)]
    Run(ConfigArgs),
    /// What of this host can be observed, by which hook, and what is lost where one is missing
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::DoctorArgs),
    /// What a Node.js process holds, by name and place in its source; read from outside, without touching it
    #[command(after_help = examples::HEAP)]
    Heap(heap::HeapArgs),
    /// Where the memory of a process and its container is: heap, native memory, allocator, page cache, kernel; and what grew
    #[command(after_help = examples::MEMORY)]
    Memory(memory::MemoryArgs),
    /// What the running agent watches: services, versions, ceilings, and what is said of them
    #[command(after_help = examples::PS)]
    Ps(ps::PsArgs),
    /// Ask the running agent a question in JSON and print its answer as it is
    #[command(after_help = examples::ASK)]
    Ask(raw::RawArgs),
    /// A workload's versions, ended runs and findings, in the order they happened
    #[command(after_help = examples::HISTORY)]
    History(history::HistoryArgs),
    /// Ask the running agent how it is: hooks, losses, deliveries
    #[command(after_help = examples::STATUS)]
    Status(status::StatusArgs),
    /// Why something was said of a service: the evidence in sentences, and a chart
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::ExplainArgs),
    /// One file about a container, or about all: the verdict, its evidence, a chart; for browsers, mail and paper
    #[command(after_help = examples::REPORT)]
    Report(Box<report::ReportArgs>),
    /// What the running agent watches, live; or a recording, played
    #[command(after_help = examples::TOP)]
    Top(top::TopArgs),
    /// Ask a Prometheus which containers leak, without installing anything
    #[command(after_help = examples::AUDIT)]
    Audit(Box<audit::AuditArgs>),
    /// Judge a recording again: the same findings as the run that made it
    #[command(after_help = examples::REPLAY)]
    Replay(replay::ReplayArgs),
    /// Run a command and tell by the exit code whether it leaks: a gate for CI
    #[command(after_help = examples::WATCH)]
    Watch(Box<watch::WatchArgs>),
    /// What a shell completes this command line with, on standard output
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::CompletionsArgs),
    /// Write manual pages, one for each command
    #[command(after_help = examples::MAN)]
    Man(completions::ManArgs),
}

/// Runs the command that this process's arguments name; called `kubectl-observer`, the plugin's.
pub fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let called = called.as_deref().map(Path::new).and_then(Path::file_stem);
    if called.is_some_and(|name| name == kubectl::NAME) {
        return match parsed() {
            Ok(cli) => ended(kubectl::run(cli)),
            Err(exit) => exit.into(),
        };
    }
    match parsed() {
        Ok(cli) => ended(run_command(cli)),
        Err(exit) => exit.into(),
    }
}

fn parsed<C: Parser>() -> Result<C, Exit> {
    C::try_parse().map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // Nothing is left to tell where printing the help itself fails.
            let _ = error.print();
            return Exit::Success;
        }
        // It repeats arguments, whoever wrote them.
        terminal::complain(error.render());
        Exit::Usage
    })
}

fn run_command(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Heap(args) => heap::heap(&args),
        Command::Memory(args) => memory::memory(&args),
        Command::Audit(args) => audit::audit(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Explain(args) => explain::explain_command(&args),
        Command::Report(args) => report::report(&args),
        Command::Status(args) => status::status(&args),
        Command::Ps(args) => ps::ps(&args),
        Command::Ask(args) => raw::raw(&args),
        Command::Top(args) => top::top(&args),
        Command::Watch(args) => watch::watch(&args),
        Command::Completions(args) => completions::completions(&args, definition()),
        Command::Man(args) => completions::man(&args, definition()),
        Command::History(args) => history::history(&args),
    }
}

fn ended(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        // `observer heap PID | head` has read enough.
        Err(error) if is_closed_pipe(&error) => Exit::Success.into(),
        Err(error) => {
            for line in format!("{error:#}").lines() {
                say(line);
            }
            if error.is::<Problems>() {
                Exit::Usage
            } else {
                Exit::Failure
            }
            .into()
        }
    }
}

/// Whether whoever read the output went away.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The command line's definition, for the tests and the documentation.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// The plugin's, likewise.
pub fn kubectl_definition() -> clap::Command {
    kubectl::Cli::command()
}
