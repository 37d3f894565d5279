//! `observer audit URL`: asks a Prometheus-compatible server for the histories of containers, judges them, and prints a
//! table, worst first. Nothing needs to be installed anywhere.

mod budget;
mod collect;
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
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;

use super::Exit;
use crate::terminal::{self, say};
use collect::{Span, Talk};
use journal::{Asked, Journal};
use outcome::{Judged, Outcome};
use server::{Server, ServerArgs};

/// Longest time looked at, seconds.
const LONGEST: u64 = 400 * 86_400;

pub(super) const EXAMPLE: &str = "\
Example:
  kubectl --namespace monitoring port-forward svc/prometheus 9090 &
  observer audit http://localhost:9090 --namespace shop --since 7d";

/// Arguments of `observer audit`.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    server: ServerArgs,
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
    let server = Server::new(&args.server)?;
    let mut asked = Asked {
        server: server.name(),
        selector: question::matchers(&args.selector),
        namespaces: args.namespace.clone(),
        since_s: args.since.as_secs() as i64,
        span: span(args)?,
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
    runtime.block_on(run::run(talk, &asked, usize::from(args.parallel), journal, &mut judged))?;
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

/// Whole steps, so that pieces fit together whatever their size.
fn span(args: &AuditArgs) -> anyhow::Result<Span> {
    let step = args.step.as_secs() as i64;
    if step < 1 || args.step.subsec_nanos() > 0 {
        bail!("--step must be whole seconds, at least 1 s");
    }
    if args.since.as_secs() > LONGEST || args.since < args.step {
        bail!("--since must be between --step and 400d");
    }
    let until = args.until.unwrap_or_else(SystemTime::now);
    let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let end = until - until.rem_euclid(step);
    let since = args.since.as_secs() as i64;
    Ok(Span {
        start: (end - since + since.rem_euclid(step)).max(0),
        end,
        step,
    })
}
