//! `observer completions` and `observer man`: read the command line's definition, produce what shells complete with, and
//! manual pages.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap_complete::Shell;

use super::Exit;
use crate::terminal::{self, say};

/// Arguments of `observer completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Which shell's
    shell: Shell,
}

/// Arguments of `observer man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Where the pages are written, one for each command
    directory: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs, mut definition: clap::Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition, "observer", &mut script);
    // Nothing in it comes from elsewhere.
    terminal::pass_on(&script, false)?;
    Ok(Exit::Success)
}

pub(super) fn man(args: &ManArgs, definition: clap::Command) -> anyhow::Result<Exit> {
    let directory = &args.directory;
    let failed = || format!("cannot write manual pages to {}", directory.display());
    fs::create_dir_all(directory).with_context(failed)?;
    clap_mangen::generate_to(definition, directory).with_context(failed)?;
    say(format_args!("wrote manual pages to {}", directory.display()));
    Ok(Exit::Success)
}
