//! `cargo xtask bench cost`: what the agent costs the host it runs on. Reads /proc of a release build, produces one table
//! a subject, and with `--write` puts them into docs/performance.md.
//!
//! What the agent itself uses is CPU time of its threads, which others on the machine do not change. What it costs others
//! is a ratio of neighbouring runs with and without it, in turning order; the table has the median and the middle half.

mod agent;
mod containers;
mod footprint;
mod pairs;
mod peers;
mod server;
mod syscalls;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use observer_tests::{
    need::{self, Need},
    places,
};

use crate::shell;

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Subjects; all of them by default
    #[arg(value_enum)]
    subjects: Vec<Part>,
    /// The agent to measure, instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Seconds over which each footprint is measured
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Containers beside the agent, one row each
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100, 1_000])]
    containers: Vec<usize>,
    /// Pairs of runs with and without the agent
    #[arg(long, default_value_t = 9)]
    pairs: usize,
    /// Put the tables into docs/performance.md
    #[arg(long)]
    write: bool,
}

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory, CPU time, wake-ups and descriptors of the agent
    Footprint,
    /// System calls beside it
    Syscalls,
    /// A Node.js server driven to its limit beside it
    Server,
}

impl Part {
    const ALL: [Self; 3] = [Self::Footprint, Self::Syscalls, Self::Server];

    /// What marks its table in the page.
    const fn name(self) -> &'static str {
        match self {
            Self::Footprint => "footprint",
            Self::Syscalls => "syscalls",
            Self::Server => "server",
        }
    }
}

pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    for need in [Need::Root, Need::Bpf, Need::Memory] {
        if let Some(reason) = need::missing(need) {
            bail!("cannot measure: {reason}");
        }
    }
    let program = options.agent.clone().map_or_else(build, Ok)?;
    let parts = if options.subjects.is_empty() {
        Part::ALL.to_vec()
    } else {
        options.subjects.clone()
    };
    for part in parts {
        let table = match part {
            Part::Footprint => footprint::measure(&program, &options.containers, options.seconds)?,
            Part::Syscalls => syscalls::measure(&program, options.pairs)?,
            Part::Server => server::measure(&program, options.pairs)?,
        };
        println!("{table}");
        if options.write {
            write(part, &table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    let mut cargo = shell::cargo(["build", "--release", "--package", "observer"]);
    cargo.env("OBSERVER_REQUIRE_EBPF", "1");
    shell::run(cargo)?;
    Ok(places::target().join("release").join("observer"))
}

/// Replaces what stands between a table's marks in the page.
fn write(part: Part, table: &str) -> Result<()> {
    let page = places::workspace().join("docs/performance.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let text = replaced(&text, part.name(), table)
        .with_context(|| format!("{} has no marks for {}", page.display(), part.name()))?;
    fs::write(&page, text).with_context(|| format!("cannot write {}", page.display()))
}

fn replaced(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_its_place_again_and_again() {
        let page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n";
        let once = replaced(page, "x", "| new |\n");
        let expected = "a\n<!-- begin x -->\n\n| new |\n\n<!-- end x -->\nb\n";
        assert_eq!(once.as_deref(), Some(expected));
        assert_eq!(replaced(expected, "x", "| new |").as_deref(), Some(expected));
        assert_eq!(replaced(page, "y", ""), None);
    }
}
