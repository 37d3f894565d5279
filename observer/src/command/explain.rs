//! `observer explain`: reads a history, a recording, or the running agent's answer; prints why something was said.

use std::path::PathBuf;

use anyhow::bail;
use observer_core::engine::view::WorkloadView;

use super::{
    Exit,
    ask::{self, Agents, Socket},
    format::{Format, with_formats},
    ps::is_in,
};
use crate::{
    config::key,
    history,
    question::Question,
    snapshot::Snapshot,
    terminal::{self, Look, clean},
    view::{
        case::{self, Case},
        explain::explain,
    },
};

/// Arguments of `observer explain`.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// A service, a workload, a slot, a series of a history, or the id of a finding
    name: String,
    /// Explain from this file instead of asking the running agent
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What the file is
    #[arg(long, value_enum, default_value_t, requires = "from")]
    format: Format,
    /// Factor on every duration of detection, for a history [default: by the distance between samples]
    #[arg(long, requires = "from")]
    time_scale: Option<f64>,
    /// The running agent's socket
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
    /// Columns [default: the terminal's, 60 to 120]
    #[arg(long)]
    width: Option<usize>,
    /// Nothing but ASCII; chosen by itself where the locale is not UTF-8
    #[arg(long)]
    plain: bool,
}

pub(super) fn explain_command(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let name = args.name.as_str();
    if let Some(url) = args
        .from
        .as_ref()
        .and_then(|from| from.to_str())
        .filter(|from| from.contains("://"))
    {
        bail!("explain reads files: `observer report {name} --from {url} --md` asks a Prometheus");
    }
    let found = match (&args.from, args.format) {
        (None, _) => {
            let agent = Socket(args.status_socket.clone());
            return print(&agent, None, name, (args.width, args.plain));
        }
        (Some(file), Format::Recording) => case::of_recording(file, name).map_err(with_formats)?,
        (Some(file), Format::Csv) => one(case::of_history(history::csv::read, file, args.time_scale, Some(name))?),
        (Some(file), Format::Prometheus) => one(case::of_history(
            history::prometheus::read,
            file,
            args.time_scale,
            Some(name),
        )?),
    };
    shown(found, name, (args.width, args.plain))
}

/// Why something was said, by the agents that watch it: of the slot of which most is said.
pub(super) fn print(
    agents: &dyn Agents,
    namespace: Option<&str>,
    name: &str,
    look: (Option<usize>, bool),
) -> anyhow::Result<Exit> {
    let question = Question::Explain { name: name.to_owned() };
    let answers = ask::told(agents, &question, ask::read::<Snapshot>)?;
    let workloads = answers.into_iter().flat_map(|(_, answer)| answer.workloads);
    let workloads: Vec<WorkloadView> = workloads.filter(|workload| is_in(workload, namespace)).collect();
    shown(case::of_workloads(&workloads, &clean::name(name)), name, look)
}

fn shown(found: Result<Case, Vec<String>>, name: &str, (width, plain): (Option<usize>, bool)) -> anyhow::Result<Exit> {
    let case = match found {
        Ok(case) => case,
        Err(others) => bail!("{}", unknown(name, &others)),
    };
    terminal::print(explain(&case, Look::of_stdout_as(width, plain)))?;
    Ok(Exit::Success)
}

/// The one that was asked for.
fn one(found: Result<Vec<Case>, Vec<String>>) -> Result<Case, Vec<String>> {
    found.and_then(|cases| cases.into_iter().next().ok_or_else(Vec::new))
}

/// That there is no such name, and which there are.
pub(super) fn unknown(name: &str, others: &[String]) -> String {
    if others.is_empty() {
        return format!("nothing is known of {name:?}, and nothing was said of any other");
    }
    let mut near: Vec<&String> = others.iter().collect();
    near.sort_by(|a, b| strsim::jaro_winkler(name, b).total_cmp(&strsim::jaro_winkler(name, a)));
    let shown: Vec<String> = near
        .iter()
        .take(10)
        .map(|other| format!("  {}", clean::name(other)))
        .collect();
    format!(
        "nothing is known of {name:?}; there are, among {}:\n{}",
        others.len(),
        shown.join("\n")
    )
}
