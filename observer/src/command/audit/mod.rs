//! `observer audit URL`: asks a Prometheus-compatible server for the histories of containers, judges them, and prints a
//! table, worst first. Nothing needs to be installed anywhere.

mod budget;
mod collect;
mod find;
mod histories;
mod html;
mod journal;
mod outcome;
mod question;
mod run;
mod server;
mod table;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::{Exit, writable::writable};
use crate::terminal::{self, say};
pub(super) use histories::{Wanted, histories};
pub(super) use server::Asker;

use collect::{Span, Talk};
use journal::{Asked, Journal};
use outcome::{Judged, Outcome};
use server::Server;

/// Arguments of `observer audit`.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// The server's address, with the path before /api/v1 where it has one (Mimir: /prometheus)
    url: String,
    #[command(flatten)]
    asker: Asker,
    /// Only containers of this namespace; may be repeated
    #[arg(long, short, value_name = "NAME")]
    namespace: Vec<String>,
    /// Only containers whose series match, as in PromQL: 'container="api",pod=~"shop-.*"'
    #[arg(long, value_name = "MATCHERS", default_value = "", hide_default_value = true)]
    selector: String,
    /// How far to look back
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = humantime::parse_duration)]
    since: Duration,
    /// Until when: RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    until: Option<SystemTime>,
    /// Time between two values, best the interval at which the server scrapes
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    step: Duration,
    /// Questions at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
    /// Keep what is judged in FILE, and go on from there if it was interrupted
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// List the healthy and those not judged too
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Everything known of each container, as one JSON object
    #[arg(long)]
    json: bool,
    /// Write the table to FILE as well, as a page for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with 3 where a container is one of these and not gone; "never": with 0
    #[arg(long, value_name = "OUTCOMES", value_delimiter = ',', default_value = "leaking", value_parser = fail_on)]
    fail_on: Vec<FailOn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailOn {
    Never,
    Outcome(Outcome),
}

fn fail_on(text: &str) -> Result<FailOn, String> {
    if text == "never" {
        return Ok(FailOn::Never);
    }
    Outcome::from_str(text, true).map(FailOn::Outcome).map_err(|_| {
        let names = Outcome::ALL.map(|outcome| outcome.name().replace(' ', "-"));
        format!("one of {}, never", names.join(", "))
    })
}

pub(super) fn audit(args: &AuditArgs) -> anyhow::Result<Exit> {
    let server = Server::new(&args.url, &args.asker)?;
    writable(args.html.as_deref())?;
    let mut asked = Asked {
        server: server.name(),
        selector: question::matchers(&args.selector),
        namespaces: args.namespace.clone(),
        since_s: args.since.as_secs() as i64,
        span: Span::of(args.since, args.until, args.step)?,
    };
    let (mut journal, mut judged) = (None, Vec::new());
    if let Some(file) = &args.resume {
        let (opened, then, before) = Journal::open(file, asked)?;
        if !before.is_empty() {
            say(format_args!("{} containers were judged before", before.len()));
        }
        (journal, asked) = (Some(opened), then);
        judged = before.into_values().collect();
    }
    let talk = Talk::new(server, asked.span, asked.selector.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(args.parallel).min(4))
        .enable_all()
        .build()
        .context("cannot start")?;
    let parallel = usize::from(args.parallel);
    runtime.block_on(run::run(talk, &asked, parallel, journal, args.json, &mut judged))?;
    judged.sort_by_cached_key(Judged::urgency);
    if let Some(file) = &args.html {
        let page = html::page(&asked.server, asked.span, &judged);
        fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.json {
        let whole = Whole {
            server: &asked.server,
            span: asked.span,
            containers: &judged,
        };
        terminal::json(&whole)?.print()?;
    } else {
        terminal::print(table::table(&judged, args.all))?;
    }
    let fails = |one: &Judged| !one.gone && args.fail_on.contains(&FailOn::Outcome(one.outcome));
    Ok(if judged.iter().any(fails) {
        Exit::Limited
    } else {
        Exit::Success
    })
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Whole<'a> {
    server: &'a str,
    #[serde(flatten)]
    span: Span,
    containers: &'a [Judged],
}
