//! What the checks read and say: the text files of the tree, and breaches of rules.

use std::{fmt, path::Path};

/// A rule broken, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// Path below the workspace's root.
    pub(super) path: String,
    /// Line, from 1; 0 where the whole file is meant.
    pub(super) line: usize,
    /// Which rule, and what to do.
    pub(super) rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule } = self;
        if *line == 0 {
            write!(f, "{path}: {rule}")
        } else {
            write!(f, "{path}:{line}: {rule}")
        }
    }
}

/// A text file of the tree.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn breach(&self, line: usize, rule: impl Into<String>) -> Breach {
        Breach {
            path: self.path.clone(),
            line,
            rule: rule.into(),
        }
    }

    /// Lines before the unit tests, numbered from 1.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .map(|(index, line)| (index + 1, line))
    }
}
