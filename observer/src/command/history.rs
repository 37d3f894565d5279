//! `observer history WORKLOAD`: asks the running agent, or the store of one that is not running, and prints versions,
//! ended runs and findings in the order they happened.

use std::path::PathBuf;

use anyhow::bail;

use super::{Exit, ask};
use crate::{
    clock,
    config::key,
    question::{HistoryView, Question},
    store,
    terminal::{self, Look, clean},
    view::timeline,
};

/// Arguments of `observer history`.
#[derive(Debug, clap::Args)]
pub(super) struct HistoryArgs {
    /// The workload: its name, its service's, or either with its namespace (shop/checkout)
    workload: String,
    /// Socket of the running agent
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
    /// Read the store of an agent that is not running, instead of asking one
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Most records, the newest
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// Everything, as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<Exit> {
    let view = match &args.store {
        Some(directory) => HistoryView {
            workloads: Vec::new(),
            records: store::read(directory, Some(&args.workload), args.limit)?,
            kept: true,
        },
        None => {
            let question = Question::History {
                workload: Some(args.workload.clone()),
                limit: Some(args.limit),
            };
            ask::read_as_it_is(&ask::ask(&args.status_socket, &question)?)?
        }
    };
    if view.workloads.is_empty() && view.records.is_empty() {
        bail!(
            "no workload is called `{}`; `observer ps` names those there are",
            args.workload
        );
    }
    if args.json {
        terminal::json(&view)?.print()?;
    } else {
        let view = clean::of(&view)?;
        terminal::print(timeline::page(&view, clock::anchor(), Look::of_stdout().width))?;
    }
    Ok(Exit::Success)
}
