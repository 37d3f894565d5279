//! `observer ask`: reads a question, prints the running agent's answer as it gave it: what `kubectl observer` runs on each node.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{Exit, ask};
use crate::{config::key, question::Question, terminal};

/// Arguments of `observer ask`.
#[derive(Debug, clap::Args)]
pub(super) struct RawArgs {
    /// The question, as JSON
    question: String,
    /// Socket of the running agent
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
}

pub(super) fn raw(args: &RawArgs) -> anyhow::Result<Exit> {
    let question: Question = serde_json::from_str(&args.question).context("that is no question")?;
    let answer = ask::ask(&args.status_socket, &question)?;
    terminal::json_value(&ask::read_as_it_is(&answer)?).print()?;
    Ok(Exit::Success)
}
