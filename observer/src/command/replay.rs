//! `observer replay`.

use std::path::PathBuf;

use super::Exit;

/// Arguments of `observer replay`.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// The recording, as `observer run --record FILE` wrote it
    file: PathBuf,
}

pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let _ = &args.file;
    Ok(Exit::Success)
}
