//! `observer report`: reads a recording, a history, a store, a Prometheus or the running agent's answer; writes one file
//! about a container, or about all.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use observer_core::time::WallTime;

use super::{
    Exit,
    ask::{self, Agents, Socket},
    audit,
    explain::unknown,
    format::{Format, with_formats},
    ps::is_in,
    writable::writable,
};
use crate::{
    config::key,
    history,
    question::{HistoryView, Question},
    snapshot::Snapshot,
    store,
    terminal::{self, say},
    view::{
        case::{self, Case},
        report::{self, About},
    },
};

/// Records asked for: the newest.
const RECORDS: usize = 10_000;

/// Arguments of `observer report`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("written").args(["html", "md"]).required(true).multiple(true))]
pub(super) struct ReportArgs {
    /// A service, a workload, a slot, a series of a history, or the id of a finding of a recording
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "WORKLOAD")]
    name: Option<String>,
    /// A table of all, and a chapter about each that something is said of
    #[arg(long)]
    all: bool,
    /// Read this file, or ask the Prometheus at this address, instead of asking the running agent
    #[arg(long, value_name = "FILE|URL", conflicts_with = "store")]
    from: Option<String>,
    /// What the file is
    #[arg(long, value_enum, default_value_t, requires = "from")]
    format: Format,
    /// Factor on every duration of detection, for a history [default: by the distance between samples]
    #[arg(long, requires = "from")]
    time_scale: Option<f64>,
    /// How far to look back, at a Prometheus
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = humantime::parse_duration)]
    since: Duration,
    /// Time between two values, at a Prometheus
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    step: Duration,
    #[command(flatten)]
    asker: audit::Asker,
    /// Read the store of an agent that is not running
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The running agent's socket
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
    /// Write one file for browsers, mail and paper, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print it as Markdown
    #[arg(long)]
    md: bool,
}

pub(super) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let name = args.name.as_deref();
    writable(args.html.as_deref())?;
    let (source, found) = match (&args.from, &args.store) {
        (Some(url), _) if url.contains("://") => (url.clone(), of_server(args, url, name)?),
        (Some(file), _) => (file.clone(), of_file(args, Path::new(file), name)?),
        (None, Some(directory)) => (directory.display().to_string(), of_store(directory, name)?),
        (None, None) => of_agents(&Socket(args.status_socket.clone()), None, name)?,
    };
    write(&source, found, name, (args.all, args.html.as_deref(), args.md))
}

/// Writes what was found: as HTML into a file, as Markdown on standard output.
pub(super) fn write(
    source: &str,
    found: Found,
    name: Option<&str>,
    (all, html, markdown): (bool, Option<&Path>, bool),
) -> anyhow::Result<Exit> {
    let cases = match found {
        Ok(cases) if cases.is_empty() => bail!("nothing is known there: no container was watched"),
        Ok(cases) => cases,
        Err(others) => bail!("{}", unknown(name.unwrap_or_default(), &others)),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let about = About {
        source: format!("from {source}"),
        made: WallTime(now.as_nanos() as u64),
    };
    let page = report::page(&cases, &about, all);
    if let Some(file) = html {
        fs::write(file, report::html(&page)).with_context(|| format!("cannot write {}", file.display()))?;
        say(format_args!("wrote {}", file.display()));
    }
    if markdown {
        terminal::print(report::markdown(&page))?;
    }
    Ok(Exit::Success)
}

/// Cases, or the names there are.
pub(super) type Found = Result<Vec<Case>, Vec<String>>;

fn of_file(args: &ReportArgs, file: &Path, name: Option<&str>) -> anyhow::Result<Found> {
    let read = match args.format {
        Format::Csv => history::csv::read,
        Format::Prometheus => history::prometheus::read,
        Format::Recording => {
            return Ok(match name {
                Some(name) => case::of_recording(file, name)
                    .map_err(with_formats)?
                    .map(|case| vec![case]),
                None => Ok(case::all_of_recording(file).map_err(with_formats)?),
            });
        }
    };
    Ok(case::of_history(read, file, args.time_scale, name)?)
}

fn of_server(args: &ReportArgs, url: &str, name: Option<&str>) -> anyhow::Result<Found> {
    audit::histories(&audit::Wanted {
        url,
        asker: &args.asker,
        name,
        since: args.since,
        step: args.step,
    })
}

fn of_store(directory: &Path, name: Option<&str>) -> anyhow::Result<Found> {
    let records = store::read(directory, name, RECORDS)?;
    let Some(engine) = store::engine(directory)? else {
        bail!(
            "the store in {} has no state of an agent yet: `observer history --store` tells what it has",
            directory.display()
        );
    };
    let workloads = engine.explained(name.unwrap_or_default());
    let cases = case::of_engine(&workloads, &records, name);
    let others = workloads.into_iter().map(|workload| workload.service);
    Ok(found(cases, name, others.collect()))
}

/// The cases; where one was asked for by a name that nobody has, the names there are.
fn found(cases: Vec<Case>, name: Option<&str>, others: Vec<String>) -> Found {
    if name.is_some() && cases.is_empty() {
        return Err(others);
    }
    Ok(cases)
}

/// What agents know, each with what it has kept; of a workload on several nodes a case of each.
pub(super) fn of_agents(
    agents: &dyn Agents,
    namespace: Option<&str>,
    name: Option<&str>,
) -> anyhow::Result<(String, Found)> {
    let question = match name {
        Some(name) => Question::Explain { name: name.to_owned() },
        None => Question::Status,
    };
    let snapshots = ask::told(agents, &question, ask::read_as_it_is::<Snapshot>)?;
    let question = Question::History {
        workload: name.map(str::to_owned),
        limit: Some(RECORDS),
    };
    // Who did not answer has been told.
    let mut histories = ask::all(agents, &question, ask::read_as_it_is::<HistoryView>)?.of;
    let source = match &snapshots[..] {
        [(_, snapshot)] => format!(
            "the agent on {}, which runs observer {}",
            snapshot.agent.host, snapshot.agent.version
        ),
        several => format!("the agents on {} nodes", several.len()),
    };
    let (mut cases, mut others) = (Vec::new(), Vec::new());
    for (node, mut snapshot) in snapshots {
        let known = histories.iter().position(|(other, _)| *other == node);
        let records = known.map_or_else(Vec::new, |at| histories.swap_remove(at).1.records);
        snapshot.workloads.retain(|workload| is_in(workload, namespace));
        let mut of_node = case::of_engine(&snapshot.workloads, &records, name);
        if !node.is_empty() {
            of_node.iter_mut().for_each(|case| case.whose += &format!(" on {node}"));
        }
        cases.extend(of_node);
        others.extend(snapshot.workloads.into_iter().map(|workload| workload.service));
    }
    Ok((source, found(cases, name, others)))
}
