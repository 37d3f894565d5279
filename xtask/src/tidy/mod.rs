//! The house rules that no compiler checks: reads the files of the tree, produces one line per breach.
//!
//! What is checked is what git would commit: tracked files and new ones that are not ignored.

mod layout;
mod manifests;
mod words;

use std::{fmt, fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use observer_tests::places;

use crate::shell;

/// A rule broken, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// Path below the workspace's root.
    path: String,
    /// Line, from 1; 0 where the whole file is meant.
    line: usize,
    /// Which rule, and what to do.
    rule: String,
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
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn breach(&self, line: usize, rule: impl Into<String>) -> Breach {
        Breach {
            path: self.path.clone(),
            line,
            rule: rule.into(),
        }
    }

    /// Lines before the unit tests, numbered from 1.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .map(|(index, line)| (index + 1, line))
    }
}

/// `cargo xtask tidy`
pub(crate) fn command() -> Result<ExitCode> {
    let breaches = check()?;
    for breach in &breaches {
        println!("{breach}");
    }
    println!("tidy: {} breaches", breaches.len());
    Ok(if breaches.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All rules over all files.
pub(crate) fn check() -> Result<Vec<Breach>> {
    let sources = sources()?;
    let mut breaches = layout::check(&sources);
    breaches.extend(manifests::check(&sources));
    breaches.extend(words::check(&sources));
    breaches.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(breaches)
}

fn sources() -> Result<Vec<Source>> {
    let root = places::workspace();
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let paths = match shell::quiet(shell::command("git", arguments)) {
        Ok(listed) => listed
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        // An unpacked archive, or a checkout of somebody else's: everything but what building leaves behind.
        Err(_) => walk(&root, &root)?,
    };
    Ok(paths
        .into_iter()
        // A binary or a file just deleted is nothing to read.
        .filter_map(|path| Some((fs::read_to_string(root.join(&path)).ok()?, path)))
        .map(|(text, path)| Source { path, text })
        .collect())
}

fn walk(root: &Path, directory: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let (path, kind, name) = (entry.path(), entry.file_type()?, entry.file_name());
        if kind.is_dir() && name != "target" && name != ".git" && name != "node_modules" {
            paths.extend(walk(root, &path)?);
        } else if kind.is_file()
            && let Ok(relative) = path.strip_prefix(root)
        {
            paths.push(relative.display().to_string());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        let breaches = super::check().unwrap();
        let listed: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        assert!(breaches.is_empty(), "\n{}", listed.join("\n"));
    }
}
