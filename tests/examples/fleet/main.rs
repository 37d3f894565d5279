//! What `cargo xtask fleet` runs: reads a fleet's size as JSON, plays it through the real engine and the agent's exporters
//! into real servers, and produces what was measured.

mod agent;
mod judge;
mod measure;
mod picture;
mod plot;
mod scrape;
mod servers;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use observer_tests::fleet::{Leaking, Plan};
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
    println!(
        "fleet: {} nodes, {} containers of {} healthy workloads, {} replicas of checkout, {} days",
        plan.nodes,
        plan.nodes * plan.containers,
        plan.healthy(),
        plan.leaking.map_or(0, |leaking| leaking.replicas),
        plan.days
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    if options.healthy {
        let judged = judge::judge(&plan, options.every, options.at_once)?;
        println!(
            "fleet: {} inputs; {} healthy workloads over {} days: {} false alerts",
            judged.inputs,
            plan.healthy(),
            plan.days,
            judged.alerts.len()
        );
        return Ok(());
    }
    runtime.block_on(servers::run(
        &plan,
        &servers::Run {
            every: options.every as f64,
            speed: options.speed,
            minutes: options.minutes,
            pictures: options.pictures,
            evaluate: options.evaluate,
        },
    ))
}
