//! `observer run`: reads the configuration, observes until told to stop.

use super::{ConfigArgs, Exit};
use crate::agent;

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let config = args.load()?;
    agent::run(&config)?;
    Ok(Exit::Success)
}
