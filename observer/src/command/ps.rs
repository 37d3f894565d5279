//! `observer ps`: asks the running agent what it watches, prints one line for each life in progress.

use std::path::PathBuf;

use observer_core::time::SECOND;

use super::{Exit, ask};
use crate::{
    config::key,
    question::Question,
    snapshot::Snapshot,
    terminal::{self, Look},
    view::workloads,
};

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
    let answer = ask::ask(&args.status_socket, &Question::Status)?;
    if args.json {
        let answer: Snapshot = ask::read_as_it_is(&answer)?;
        terminal::json(&answer.workloads)?.print()?;
    } else {
        let answer: Snapshot = ask::read(&answer)?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now_s = now.tv_sec as f64 + now.tv_nsec as f64 / SECOND as f64;
        terminal::print(workloads::table(&answer.workloads, now_s, Look::of_stdout().width))?;
    }
    Ok(Exit::Success)
}
