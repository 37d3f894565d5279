//! Asks the running agent: reads a question, produces its answer over the status socket.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;

use crate::{
    question::Question,
    terminal::{clean, say},
};

/// Longest wait for an answer: longer than the agent's own patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an agent answered, or why it did not.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its node; empty for the only one, on this host.
    pub(super) node: String,
    pub(super) text: anyhow::Result<String>,
}

/// Whom a command asks: the agent of this host, or those of all nodes.
pub(super) trait Agents: Send {
    /// What each answers.
    fn ask(&self, question: &Question) -> anyhow::Result<Vec<Answer>>;
}

/// The agent of this host.
#[derive(Clone, Debug)]
pub(super) struct Socket(pub(super) PathBuf);

impl Agents for Socket {
    fn ask(&self, question: &Question) -> anyhow::Result<Vec<Answer>> {
        let text = Ok(ask(&self.0, question)?);
        Ok(vec![Answer {
            node: String::new(),
            text,
        }])
    }
}

/// Answers that were understood, by node, and what became of the others, a sentence each.
#[derive(Debug)]
pub(super) struct Answers<T> {
    pub(super) of: Vec<(String, T)>,
    pub(super) silent: Vec<String>,
}

/// What all agents answer, read by `read`; an error where none does.
pub(super) fn all<T>(
    agents: &dyn Agents,
    question: &Question,
    read: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Answers<T>> {
    let mut answers = Answers {
        of: Vec::new(),
        silent: Vec::new(),
    };
    for Answer { node, text } in agents.ask(question)? {
        match text.and_then(|text| read(&text)) {
            Ok(answer) => answers.of.push((node, answer)),
            Err(error) if node.is_empty() => return Err(error),
            Err(error) => answers.silent.push(format!("node {node} does not answer: {error:#}")),
        }
    }
    if answers.of.is_empty() {
        bail!("{}", answers.silent.join("\n"));
    }
    Ok(answers)
}

/// The same; who does not answer is told.
pub(super) fn told<T>(
    agents: &dyn Agents,
    question: &Question,
    read: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<(String, T)>> {
    let answers = all(agents, question, read)?;
    answers.silent.iter().for_each(say);
    Ok(answers.of)
}

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
