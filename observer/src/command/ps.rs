//! `observer ps`: asks the running agent what it watches, prints one line for each life in progress.

use std::path::PathBuf;

use observer_core::{engine::view::WorkloadView, time::SECOND};

use super::{
    Exit,
    ask::{self, Agents, Socket},
};
use crate::{
    config::key,
    question::Question,
    snapshot::Snapshot,
    terminal::{self, Look},
    view::workloads::{self, Watched},
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
    print(&Socket(args.status_socket.clone()), None, args.json)
}

/// What agents watch, of one namespace or of all.
pub(super) fn print(agents: &dyn Agents, namespace: Option<&str>, json: bool) -> anyhow::Result<Exit> {
    if json {
        let answers = ask::told(agents, &Question::Status, ask::read_as_it_is::<Snapshot>)?;
        let mut workloads: Vec<WorkloadView> = answers.into_iter().flat_map(|(_, answer)| answer.workloads).collect();
        workloads.retain(|workload| is_in(workload, namespace));
        terminal::json(&workloads)?.print()?;
        return Ok(Exit::Success);
    }
    let answers = ask::told(agents, &Question::Status, ask::read::<Snapshot>)?;
    let (watched, now_s) = merged(answers, namespace);
    terminal::print(workloads::table(&watched, now_s, Look::of_stdout().width))?;
    Ok(Exit::Success)
}

/// What all of them watch, and the latest of their clocks, seconds since 1970.
pub(super) fn merged(answers: Vec<(String, Snapshot)>, namespace: Option<&str>) -> (Vec<Watched>, f64) {
    let now = answers.iter().map(|(_, answer)| answer.now.0).max().unwrap_or(0);
    let all = answers
        .into_iter()
        .flat_map(|(node, answer)| Watched::on(&node, answer.workloads));
    let wanted = all.filter(|watched| is_in(&watched.workload, namespace)).collect();
    (wanted, now as f64 / SECOND as f64)
}

/// Whether a workload is in the namespace asked for, if any is.
pub(super) fn is_in(workload: &WorkloadView, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|name| workload.workload.namespace.as_deref() == Some(name))
}
