//! Asks the running agent: reads a question, produces its answer over the status socket.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;

use crate::{question::Question, terminal::clean};

/// Longest wait for an answer: longer than the agent's own patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// The agent's answer, as it gave it.
pub(super) fn ask(socket: &Path, question: &Question) -> anyhow::Result<String> {
    let path = socket.display();
    let mut stream = UnixStream::connect(socket).map_err(|error| {
        let next = match error.kind() {
            ErrorKind::PermissionDenied => "it answers to root: try `sudo`",
            _ => "is `observer run` running, with this --status-socket?",
        };
        anyhow!("no observer answers at {path} ({error}); {next}")
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let question = serde_json::to_string(question)? + "\n";
    let mut text = String::new();
    stream
        .write_all(question.as_bytes())
        .and_then(|()| stream.read_to_string(&mut text))
        .with_context(|| format!("no answer from {path} within {} s", PATIENCE.as_secs()))?;
    if text.is_empty() {
        bail!("the observer at {path} does not answer: its loop is stalled, or it is stopping");
    }
    Ok(text)
}

/// The answer, read, with every name in it fit to be shown.
pub(super) fn read<T: DeserializeOwned>(answer: &str) -> anyhow::Result<T> {
    clean::read(answer)
        .with_context(|| format!("the agent answered what this observer does not understand: {answer:.200}"))
}

/// The answer, read as it is: for machines.
pub(super) fn read_as_it_is<T: DeserializeOwned>(answer: &str) -> anyhow::Result<T> {
    serde_json::from_str(answer)
        .with_context(|| format!("the agent answered what this observer does not understand: {answer:.200}"))
}
