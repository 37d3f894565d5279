//! `cargo xtask bench`: reads a subject, produces its figures.

mod detection;
mod replay;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::shell;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Subject {
    /// The detector and its peers over the catalogue of leaks and of what only looks like one
    Detection(detection::Options),
    /// What delivery costs: bytes on the wire, events a second and core, spool throughput
    Export,
    /// How fast one's own history is judged, beside reading it, and in how much memory
    Replay(replay::Options),
}

/// Measures a subject.
pub(crate) fn command(subject: &Subject) -> Result<ExitCode> {
    match subject {
        Subject::Export => export(),
        Subject::Detection(options) => detection::command(options),
        Subject::Replay(options) => replay::command(options),
    }
}

/// The figures come from the exporter's own code, which a program that must build without the kernel programs cannot
/// link: an example of the tests does.
fn export() -> Result<ExitCode> {
    shell::run(shell::cargo([
        "run",
        "--release",
        "--package",
        "observer-tests",
        "--example",
        "export",
    ]))?;
    Ok(ExitCode::SUCCESS)
}
