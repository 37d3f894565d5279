//! `observer status`: asks the running agent over its socket, prints what it says of itself.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::Exit;
use crate::config::key;

/// Arguments of `observer status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Socket of the running agent
    #[arg(long, value_name = "FILE", env = "OBSERVER_STATUS_SOCKET", default_value = key::STATUS_SOCKET)]
    status_socket: PathBuf,
    /// Everything, as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let path = args.status_socket.display();
    let mut stream = UnixStream::connect(&args.status_socket).with_context(|| {
        format!("no observer answers at {path}; is `observer run` running, with this --status-socket?")
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .with_context(|| format!("no answer from {path} within 10 s"))?;
    if text.is_empty() {
        bail!("the observer at {path} does not answer: its loop is stalled, or it is stopping");
    }
    let page = if args.json {
        text + "\n"
    } else {
        page(&serde_json::from_str(&text)?)
    };
    // `observer status | head` closes early.
    let _ = std::io::stdout().lock().write_all(page.as_bytes());
    Ok(Exit::Success)
}

fn page(snapshot: &Value) -> String {
    let agent = &snapshot["agent"];
    let mut lines = vec![
        format!(
            "observer {} on {}, up {:.0} s, {:.1} MiB, {:.1} s of CPU",
            text(&agent["version"]),
            text(&agent["host"]),
            number(&agent["uptime_s"]),
            number(&agent["memory"]) / f64::from(1 << 20),
            number(&agent["cpu_s"])
        ),
        format!(
            "observes  {} processes, {} containers, {} workloads; last sweep {:.1} ms",
            agent["processes"],
            agent["containers"],
            snapshot["workloads"].as_array().map_or(0, Vec::len),
            number(&agent["sweep_s"]) * 1e3
        ),
        format!(
            "engine    {} inputs ({} late), {} findings ({} not printed)",
            agent["inputs"], agent["late"], agent["findings"], agent["not_printed"]
        ),
    ];
    for hook in list(&agent["hooks"]) {
        lines.push(format!("hook      {} by {}", text(&hook[0]), text(&hook[1])));
    }
    for lost in list(&agent["lost"]) {
        lines.push(format!(
            "lost      {} of {} at {}",
            lost["count"],
            text(&lost["kind"]),
            text(&lost["stage"])
        ));
    }
    for evicted in list(&agent["evicted"]) {
        lines.push(format!("evicted   {} {}", evicted[1], text(&evicted[0])));
    }
    for lane in list(&agent["export"]) {
        let state = lane["failing"]
            .as_str()
            .map_or_else(|| "delivering".to_owned(), |why| format!("failing: {why}"));
        lines.push(format!(
            "export    {}: {state}; {} delivered, {} rejected, {} refused, {} dropped, {} waiting ({} bytes), {} retries",
            text(&lane["name"]),
            lane["delivered"],
            lane["rejected"],
            lane["refused"],
            lane["dropped"],
            lane["waiting"],
            lane["waiting_bytes"],
            lane["retries"]
        ));
    }
    for stalled in list(&agent["stalled"]) {
        lines.push(format!("stalled   {}", text(stalled)));
    }
    lines.join("\n") + "\n"
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}
