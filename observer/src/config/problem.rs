//! What is wrong with a configuration: reads where a value came from, produces one line per problem.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line, key } => write!(f, "{}:{line}: {key}", path.display()),
        }
    }
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value that cannot be used.
    #[error("{source_of}: {wrong}; {remedy}")]
    Value {
        /// Where it came from.
        source_of: Source,
        /// What is wrong. Never the value of a secret.
        wrong: String,
        /// What to do.
        remedy: String,
    },
    /// A key that does not exist.
    #[error("{source_of}: there is no such setting{}", suggestion(*.nearest))]
    UnknownKey {
        /// Where it stands.
        source_of: Source,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A file that could not be read.
    #[error("{path}: cannot be read as a configuration file: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why, with line and column where it is a matter of syntax.
        reason: String,
    },
}

fn suggestion(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(
        || "; `observer run --help` lists all".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}

/// All that is wrong, in one error: somebody who mends a file wants the whole list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);
