//! `observer run`.

use super::{ConfigArgs, Exit};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let _config = args.load()?;
    Ok(Exit::Success)
}
