//! `cargo xtask fleet`: reads how large a fleet is to be and which recordings are in it, and plays it through the real engine and the agent's exporters into
//! real servers; prints what was measured.
//!
//! The agent's exporters come with its kernel programs, which this program must build without: an example of the tests does it.

use std::{
    path::{self, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use observer_tests::counterpart::PROMETHEUS;

use crate::{counterpart, shell};

/// How large, for how long, how fast.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Nodes, each with an agent of its own
    #[arg(long, default_value_t = 20)]
    nodes: u64,
    /// Containers of each that do not leak, of every such kind of the catalogue in turn
    #[arg(long, default_value_t = 25)]
    containers: u64,
    /// Replicas of each healthy workload
    #[arg(long, default_value_t = 2)]
    replicas: u64,
    /// Days of history before the present
    #[arg(long, default_value_t = 2.0)]
    days: f64,
    /// Seconds of history told in one of the clock, at most; 0: as fast as it goes
    #[arg(long, default_value_t = 0.0)]
    speed: f64,
    /// Seconds between two readings of a container's memory
    #[arg(long, default_value_t = 60.0)]
    interval: f64,
    /// Seconds between two points of a metric in the history
    #[arg(long, default_value_t = 60)]
    every: u64,
    /// Replicas of the one service that leaks, since its second version
    #[arg(long, default_value_t = 20)]
    leaking: u64,
    /// Days into the history at which that version is rolled out
    #[arg(long, default_value_t = 0.5)]
    since: f64,
    /// Hours that it takes from its start to its limit
    #[arg(long, default_value_t = 60.0)]
    hours: f64,
    /// Minutes for which the fleet goes on in real time once the present is reached
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What chance is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nobody leaks: how often alerts fire falsely over the whole history, by Prometheus' own engine
    #[arg(long)]
    healthy: bool,
    /// With --healthy: nodes whose series are judged together
    #[arg(long, default_value_t = 10)]
    at_once: u64,
    /// How often rules are evaluated, instead of as shipped
    #[arg(long)]
    evaluate: Option<String>,
    /// Beside it, what agents recorded (`observer run --record`): files or directories of them, each on a node of its own, hours
    /// long again where they were compressed, and ending with the history
    #[arg(long, value_name = "PATH")]
    recorded: Vec<PathBuf>,
    /// Draw the dashboards as the scraping server answers them, a page and a picture of each, into this directory
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

/// `cargo xtask fleet`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    counterpart::debian_program("prometheus", "usr/bin/prometheus")?;
    if !options.healthy {
        counterpart::provide(&PROMETHEUS)?;
    }
    let Options {
        nodes,
        containers,
        replicas,
        days,
        speed,
        interval,
        every,
        leaking,
        since,
        hours,
        minutes,
        seed,
        healthy,
        at_once,
        evaluate,
        recorded,
        pictures,
    } = options;
    let recorded = recorded.iter().map(path::absolute).collect::<Result<Vec<_>, _>>()?;
    let text = serde_json::json!({
        "nodes": nodes, "containers": containers, "replicas": replicas, "days": days, "speed": speed,
        "interval": interval, "every": every, "leaking": leaking, "since": since, "hours": hours,
        "minutes": minutes, "seed": seed, "healthy": healthy, "at_once": at_once, "evaluate": evaluate, "pictures": pictures,
        "recorded": recorded,
    })
    .to_string();
    let fixed = [
        "run",
        "--release",
        "--quiet",
        "--package",
        "observer-tests",
        "--example",
        "fleet",
        "--",
    ];
    shell::run(shell::cargo(fixed.into_iter().chain([text.as_str()])))?;
    Ok(ExitCode::SUCCESS)
}
