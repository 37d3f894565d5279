//! Prometheus servers for a fleet: reads a history and where agents are scraped, produces servers that evaluate the rules
//! that are shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{backend::Backend, places, ports::free_ports, stage::Scratch};

/// The rules and alerts that are shipped.
pub const RULES: [&str; 2] = ["observer.rules.yaml", "observer.alerts.yaml"];

/// A file of `deploy/prometheus`.
pub fn shipped(name: &str) -> PathBuf {
    places::workspace().join("deploy/prometheus").join(name)
}

/// The rules as shipped, or, where an interval is given, evaluated that often.
pub fn rules(directory: &Path, interval: Option<&str>) -> Result<Vec<PathBuf>> {
    let copied = RULES.map(|name| {
        let (from, to) = (shipped(name), directory.join(name));
        let text = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let lines = text.lines().map(|line| match interval {
            Some(interval) if line.starts_with("    interval: ") => format!("    interval: {interval}"),
            _ => line.to_owned(),
        });
        fs::write(&to, lines.collect::<Vec<_>>().join("\n") + "\n")?;
        Ok(to)
    });
    copied.into_iter().collect()
}

/// A Prometheus with a history in OpenMetrics text, if there is one, that scrapes `targets` (address and path) and evaluates
/// the rules that are shipped.
pub fn scraping(
    program: &Path,
    history: Option<&Path>,
    targets: &[(String, String)],
    interval: Option<&str>,
) -> Result<Backend> {
    let directory = Scratch::new("prometheus")?;
    if let Some(history) = history {
        let output = Command::new(program.with_file_name("promtool"))
            .args([
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "--quiet",
                "--max-block-duration=48h",
            ])
            .arg(history)
            .arg(directory.file("data"))
            .output()
            .context("cannot start promtool")?;
        anyhow::ensure!(
            output.status.success(),
            "promtool: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let target = |(address, path): &(String, String)| {
        format!("  - targets: ['{address}']\n    labels: {{__metrics_path__: {path}}}\n")
    };
    let targets = targets.iter().map(target).collect::<Vec<_>>().concat();
    let scrape = format!("scrape_configs:\n- job_name: observer\n  honor_labels: true\n  static_configs:\n{targets}");
    start(program, directory, &scrape, interval, false)
}

/// A Prometheus that takes OTLP, also of the last weeks, and evaluates the rules that are shipped.
pub fn receiving(program: &Path, interval: Option<&str>) -> Result<Backend> {
    let late = "storage:\n  tsdb:\n    out_of_order_time_window: 60d\n";
    start(program, Scratch::new("prometheus")?, late, interval, true)
}

fn start(program: &Path, directory: Scratch, more: &str, interval: Option<&str>, otlp: bool) -> Result<Backend> {
    let [port] = free_ports()?;
    let query = format!("127.0.0.1:{port}");
    let rules = rules(directory.path(), interval)?;
    let text = format!("global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\nrule_files: {rules:?}\n{more}");
    fs::write(directory.file("prometheus.yml"), text)?;
    let mut command = Command::new(program);
    command
        .arg("--config.file=prometheus.yml")
        .arg(format!("--storage.tsdb.path={}", directory.file("data").display()))
        .arg("--storage.tsdb.retention.time=400d")
        .arg(format!("--web.listen-address={query}"));
    if otlp {
        command.arg("--web.enable-otlp-receiver");
    }
    Backend::start(
        &mut command,
        directory,
        format!("{query}/api/v1/otlp"),
        query,
        "/-/ready",
    )
}
