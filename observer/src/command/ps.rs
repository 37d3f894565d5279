//! `observer ps`: asks the running agent what it watches, prints one line for each life in progress.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
};

use observer_core::time::SECOND;

use super::{Exit, ask};
use crate::{
    agent::{Question, Snapshot},
    config::key,
    view::workloads,
};

/// Width where standard output is no terminal.
const WIDTH: usize = 80;

/// Arguments of `observer ps`.
#[derive(Debug, clap::Args)]
pub(super) struct PsArgs {
    /// Socket of the running agent
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
    /// Everything known of each workload, as a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn ps(args: &PsArgs) -> anyhow::Result<Exit> {
    let answer: Snapshot = ask::read(&ask::ask(&args.status_socket, &Question::Status)?)?;
    let page = if args.json {
        serde_json::to_string(&answer.workloads)? + "\n"
    } else {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now_s = now.tv_sec as f64 + now.tv_nsec as f64 / SECOND as f64;
        workloads::table(&answer.workloads, now_s, width())
    };
    // `observer ps | head` closes early.
    let _ = std::io::stdout().lock().write_all(page.as_bytes());
    Ok(Exit::Success)
}

/// The terminal's, at least [`WIDTH`].
pub(super) fn width() -> usize {
    let stdout = std::io::stdout();
    let columns = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout).ok())
        .flatten()
        .map_or(0, |size| usize::from(size.ws_col));
    columns.max(WIDTH)
}
