//! `observer status`: asks the running agent over its socket, prints what it says of itself.

use std::path::PathBuf;

use super::{Exit, ask};
use crate::{
    config::key,
    question::Question,
    snapshot::{AgentView, ExporterView, Snapshot, StoreView},
    terminal,
};

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
    let answer = ask::ask(&args.status_socket, &Question::Status)?;
    if args.json {
        terminal::json_value(&ask::read_as_it_is(&answer)?).print()?;
    } else {
        terminal::print(page(&ask::read(&answer)?))?;
    }
    Ok(Exit::Success)
}

fn page(snapshot: &Snapshot) -> String {
    let AgentView {
        version,
        host,
        uptime_s,
        hooks,
        processes,
        containers,
        left_out,
        inputs,
        late,
        findings,
        not_printed,
        lost,
        evicted,
        oom_marks,
        export,
        store,
        sweep_s,
        stalled,
        limits,
        memory,
        cpu_s,
    } = &snapshot.agent;
    let mut lines = vec![
        format!(
            "observer {version} on {host}, up {uptime_s:.0} s, {:.1} MiB, {cpu_s:.1} s of CPU",
            *memory as f64 / f64::from(1 << 20)
        ),
        format!(
            "observes  {processes} processes, {containers} containers, {} workloads; last sweep {:.1} ms",
            snapshot.workloads.len(),
            sweep_s * 1e3
        ),
        format!("engine    {inputs} inputs ({late} late), {findings} findings ({not_printed} not printed)"),
    ];
    if *left_out > 0 {
        lines.push(format!(
            "left out  {left_out} containers, by their pods' namespaces or annotations"
        ));
    }
    lines.extend(hooks.iter().map(|(hook, rung)| format!("hook      {hook} by {rung}")));
    lines.extend(
        lost.iter()
            .map(|lost| format!("lost      {} of {} at {}", lost.count, lost.kind, lost.stage)),
    );
    lines.extend(evicted.iter().map(|(kind, count)| format!("evicted   {count} {kind}")));
    lines.extend(oom_marks.iter().map(|(fate, count)| {
        let what = match fate.as_str() {
            "reported" => "reported as killed for memory",
            "not_killed" => "marked by the OOM killer, but ended otherwise",
            _ => "marked by the OOM killer, not watched",
        };
        format!("oom       {count} {what}")
    }));
    lines.extend(export.iter().map(exporter));
    lines.extend(store.iter().map(kept));
    lines.extend(limits.iter().map(|limit| format!("limited   {limit}")));
    lines.extend(stalled.iter().map(|name| format!("stalled   {name}")));
    lines.join("\n") + "\n"
}

fn exporter(exporter: &ExporterView) -> String {
    let state = exporter
        .failing
        .as_ref()
        .map_or_else(|| "delivering".to_owned(), |why| format!("failing: {why}"));
    let oldest = if exporter.waiting > 0 {
        format!(", the oldest for {:.0} s", exporter.oldest_s)
    } else {
        String::new()
    };
    format!(
        "export    {}: {state}; {} delivered, {} rejected, {} refused, {} dropped, {} waiting ({} bytes{oldest}), {} retries",
        exporter.name,
        exporter.delivered,
        exporter.rejected,
        exporter.refused,
        exporter.dropped,
        exporter.waiting,
        exporter.waiting_bytes,
        exporter.retries
    )
}

fn kept(store: &StoreView) -> String {
    let origin = if store.resumed {
        "goes on from an earlier agent's state"
    } else {
        "began anew"
    };
    let mut line = format!(
        "store     {origin}; {} records ({} bytes), state {} bytes",
        store.records, store.bytes, store.state_bytes
    );
    for (count, what) in [
        (store.restored, "restored"),
        (store.dropped, "dropped"),
        (store.lost, "lost"),
        (store.damaged, "damaged"),
        (store.foreign, "of another version"),
        (store.failed, "failed syncs"),
    ] {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    line
}
