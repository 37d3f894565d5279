//! `kubectl observer`: reads arguments, asks the agents of all nodes through `kubectl exec`, prints what they answer as
//! one, the worst first.
//!
//! It is this same program called `kubectl-observer`: what it prints are the agent's own pages, so that a program of its own
//! would hold the same code, and one archive serves both (docs/kubectl.md).

mod nodes;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use self::nodes::{Nodes, Place};
use super::{Exit, examples, explain, ps, report, top, writable::writable};

/// What kubectl calls a plugin's file.
pub(super) const NAME: &str = "kubectl-observer";

/// Which Node.js services of a cluster leak memory, told by the agents of all its nodes.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    bin_name = "kubectl observer",
    version,
    arg_required_else_help = true,
    after_help = examples::KUBECTL
)]
pub(super) struct Cli {
    #[command(flatten)]
    place: Place,
    /// Only workloads of this namespace [default: of all]
    #[arg(long, short, global = true, value_name = "NAME")]
    namespace: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What the agents watch: services, nodes, versions, ceilings, and what is said of them
    Ps {
        /// Everything known of each workload, as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// The same, live
    Top {
        /// Seconds between two questions to all agents
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
        interval: u32,
        /// Nothing but ASCII; chosen by itself where the locale is not UTF-8
        #[arg(long)]
        plain: bool,
    },
    /// Why something was said of a service: of the replica of which most is said
    Explain {
        /// A service, a workload, namespace/name, a slot, or the id of a finding
        name: String,
        /// Columns [default: the terminal's, 60 to 120]
        #[arg(long)]
        width: Option<usize>,
        /// Nothing but ASCII; chosen by itself where the locale is not UTF-8
        #[arg(long)]
        plain: bool,
    },
    /// One file about a workload, or about all, the worst first
    #[command(group = clap::ArgGroup::new("written").args(["html", "md"]).required(true).multiple(true))]
    Report {
        /// A service, a workload, namespace/name, or a slot
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "WORKLOAD")]
        name: Option<String>,
        /// A table of all, and a chapter about each that something is said of
        #[arg(long)]
        all: bool,
        /// Write one file for browsers, mail and paper, which needs nothing else
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Print it as Markdown
        #[arg(long)]
        md: bool,
    },
}

pub(super) fn run(cli: Cli) -> anyhow::Result<Exit> {
    let nodes = Nodes::new(cli.place);
    let of = cli.namespace.as_deref();
    match cli.command {
        Command::Ps { json } => ps::print(&nodes, of, json),
        Command::Top { interval, plain } => {
            top::needs_a_terminal("kubectl observer ps")?;
            top::live(Box::new(nodes), cli.namespace, interval, plain)
        }
        Command::Explain { name, width, plain } => explain::print(&nodes, of, &name, (width, plain)),
        Command::Report { name, all, html, md } => {
            writable(html.as_deref())?;
            let (source, found) = report::of_agents(&nodes, of, name.as_deref())?;
            report::write(&source, found, name.as_deref(), (all, html.as_deref(), md))
        }
    }
}
