//! The house rules that no compiler checks: reads the files of the tree, produces one line per breach.
//!
//! What is checked is what git would commit: tracked files and new ones that are not ignored.

mod circles;
mod layout;
mod manifests;
mod source;
mod words;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use observer_tests::places;

use crate::shell;
use source::{Breach, Source};

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
    breaches.extend(circles::check(&sources));
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
