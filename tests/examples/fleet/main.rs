//! What `cargo xtask fleet` runs: reads a fleet's size as JSON and recordings, plays it through the real engine and the agent's exporters
//! into real servers, and produces what was measured.

mod agent;
mod judge;
mod measure;
mod picture;
mod plot;
mod scrape;
mod servers;
mod sieve;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use observer::record::Recording;
use observer_tests::fleet::{Leaking, Plan, Recorded};
use serde::Deserialize;

/// As `cargo xtask fleet` has them.
#[derive(Debug, Deserialize)]
struct Options {
    nodes: u64,
    containers: u64,
    replicas: u64,
    days: f64,
    speed: f64,
    interval: f64,
    every: u64,
    leaking: u64,
    since: f64,
    hours: f64,
    minutes: f64,
    seed: u64,
    healthy: bool,
    at_once: u64,
    evaluate: Option<String>,
    pictures: Option<PathBuf>,
    recorded: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let text = std::env::args().nth(1).context("options, as JSON")?;
    let options: Options = serde_json::from_str(&text).context("options, as JSON")?;
    let leaking = Leaking {
        replicas: options.leaking,
        since: options.since,
        hours: options.hours,
    };
    let plan = Plan {
        nodes: options.nodes,
        containers: options.containers,
        replicas: options.replicas,
        days: options.days,
        interval: options.interval,
        seed: options.seed,
        leaking: Some(leaking).filter(|leaking| leaking.replicas > 0 && !options.healthy),
    };
    let recorded = recorded(&options.recorded)?;
    println!(
        "fleet: {} nodes, {} containers of {} healthy workloads, {} replicas of checkout, {} recordings, {} days",
        plan.nodes,
        plan.nodes * plan.containers,
        plan.healthy(),
        plan.leaking.map_or(0, |leaking| leaking.replicas),
        recorded.len(),
        plan.days
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    if options.healthy {
        let judged = judge::judge(&plan, &recorded, options.every, options.at_once)?;
        println!(
            "fleet: {} inputs; {} healthy workloads and {} recordings over {} days: {} alerts of leaks",
            judged.inputs,
            plan.healthy(),
            recorded.len(),
            plan.days,
            judged.alerts.len()
        );
        return Ok(());
    }
    runtime.block_on(servers::run(
        &plan,
        &recorded,
        &servers::Run {
            every: options.every as f64,
            speed: options.speed,
            minutes: options.minutes,
            pictures: options.pictures,
            evaluate: options.evaluate,
        },
    ))
}

/// The recordings of files, and of directories of them, by their names.
fn recorded(paths: &[PathBuf]) -> Result<Vec<Recorded>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            let entries = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            let is_recording = |path: &PathBuf| [".jsonl", ".jsonl.gz"].iter().any(|end| name(path).ends_with(end));
            files.extend(entries.into_iter().filter(is_recording));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let mut recording = Recording::open(path)?;
        let inputs = recording.by_ref().collect();
        let damage = recording.damage();
        anyhow::ensure!(
            damage.lines == 0 && !damage.torn,
            "{} is damaged: {damage:?}",
            path.display()
        );
        let file = name(path);
        Recorded::of(file.split('.').next().unwrap_or_default(), inputs)
    };
    files.iter().map(read).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
