//! `observer top`: reads keys, and what the running agent or a recording says; draws the board until it is told to stop.

mod live;
mod playback;
mod screen;
mod source;

use std::{path::PathBuf, time::Duration};

use anyhow::bail;

use super::{
    Exit,
    ask::{Agents, Socket},
};
use crate::{
    config::key,
    terminal::{self, Look},
};

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
    needs_a_terminal("observer ps")?;
    let Some(file) = &args.from else {
        let agent = Socket(args.status_socket.clone());
        return live(Box::new(agent), None, args.interval, args.plain);
    };
    let look = Look::of_stdout_as(None, args.plain);
    let mut source = playback::Playback::open(file, f64::from(args.speed))?;
    screen::run(&mut source, look, true, args.paused)?;
    Ok(Exit::Success)
}

/// What agents watch, of one namespace or of all, asked every so many seconds.
pub(super) fn live(
    agents: Box<dyn Agents>,
    namespace: Option<String>,
    interval: u32,
    plain: bool,
) -> anyhow::Result<Exit> {
    let look = Look::of_stdout_as(None, plain);
    let interval = Duration::from_secs(u64::from(interval));
    let mut source = live::Live::start(agents, namespace, interval)?;
    screen::run(&mut source, look, false, false)?;
    Ok(Exit::Success)
}

/// An error that names the command which needs none.
pub(super) fn needs_a_terminal(instead: &str) -> anyhow::Result<()> {
    if !terminal::is_terminal() {
        bail!("top draws on a terminal, and standard output is none; `{instead}` prints the same once");
    }
    Ok(())
}
