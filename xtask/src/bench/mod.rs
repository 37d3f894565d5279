//! `cargo xtask bench`: reads a subject, produces its figures.

mod detection;
mod replay;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Subject {
    /// The detector and its peers over the catalogue of leaks and of what only looks like one
    Detection(detection::Options),
    /// How fast one's own history is judged, beside reading it, and in how much memory
    Replay(replay::Options),
}

/// Measures a subject.
pub(crate) fn command(subject: &Subject) -> Result<ExitCode> {
    match subject {
        Subject::Detection(options) => detection::command(options),
        Subject::Replay(options) => replay::command(options),
    }
}
