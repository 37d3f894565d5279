//! `observer top`: reads keys, and what the running agent or a recording says; draws the board until it is told to stop.

mod live;
mod playback;
mod screen;
mod source;

use std::{path::PathBuf, time::Duration};

use anyhow::bail;

use super::Exit;
use crate::{
    config::key,
    terminal::{self, Look},
};
use source::Source;

/// Arguments of `observer top`.
#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    /// Socket of the running agent
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
    /// Play this recording instead of asking a running agent
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Seconds of the recording in a second
    #[arg(long, value_name = "N", default_value_t = 60, requires = "from", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    speed: u32,
    /// Begin on hold
    #[arg(long, requires = "from")]
    paused: bool,
    /// Seconds between two questions to the agent
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    interval: u32,
    /// Nothing but ASCII; chosen by itself where the locale is not UTF-8
    #[arg(long)]
    plain: bool,
}

pub(super) fn top(args: &TopArgs) -> anyhow::Result<Exit> {
    if !terminal::is_terminal() {
        bail!("top draws on a terminal, and standard output is none; `observer ps` prints the same once");
    }
    let look = Look::of_stdout_as(None, args.plain);
    let mut source: Box<dyn Source> = match &args.from {
        Some(file) => Box::new(playback::Playback::open(file, f64::from(args.speed))?),
        None => {
            let interval = Duration::from_secs(u64::from(args.interval));
            Box::new(live::Live::start(args.status_socket.clone(), interval)?)
        }
    };
    screen::run(source.as_mut(), look, args.from.is_some(), args.paused)?;
    Ok(Exit::Success)
}
