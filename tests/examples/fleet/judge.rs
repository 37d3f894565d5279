//! Healthy fleets over weeks: reads a plan, produces how often the shipped alerts fire falsely, by Prometheus' own engine over
//! what the agents' exposition says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::Result;
use observer_core::time::WallTime;
use observer_tests::fleet::{
    Plan, Recorded,
    promtool::{self, Values, entries},
    server,
};

use crate::{agent::Agent, sieve};

/// Alerts that say that something leaks.
const LEAKS: &str = r#"sum by (alertname, observer_workload, service_version) (count_over_time(ALERTS{alertstate="firing",alertname=~"ObserverLeak.*|ObserverCanaryLeaks"}[60d]))"#;

/// When the history begins.
const BEGAN: WallTime = WallTime(1_700_000_000_000_000_000);

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Alerts that fired: `alertname workload version`, and for how many evaluations.
    pub(crate) alerts: BTreeMap<String, f64>,
    /// Samples of memory that engines took.
    pub(crate) inputs: u64,
}

/// Plays the nodes of a plan one after another; rules are evaluated over `at_once` of them together. All recordings are one more part.
pub(crate) fn judge(plan: &Plan, recorded: &[Recorded], every: u64, at_once: u64) -> Result<Judged> {
    let replicas = plan.replicas.max(1);
    anyhow::ensure!(
        plan.nodes.is_multiple_of(replicas),
        "{} nodes: replicas of a workload are judged together only where their number divides that of the nodes",
        plan.nodes
    );
    let at_once = at_once.max(1).next_multiple_of(replicas);
    let names = names()?;
    let (next, inputs) = (AtomicU64::new(0), AtomicU64::new(0));
    let end = plan.days * 86_400.0;
    let generated = plan.nodes.div_ceil(at_once);
    let parts = generated + u64::from(!recorded.is_empty());
    let worker = || -> Result<BTreeMap<String, f64>> {
        let mut alerts = BTreeMap::new();
        loop {
            let part = next.fetch_add(1, Relaxed);
            if part >= parts {
                return Ok(alerts);
            }
            let mut values = Values::new();
            let agents: Vec<Agent> = if part < generated {
                let nodes = part * at_once..((part + 1) * at_once).min(plan.nodes);
                nodes
                    .map(|node| Agent::start(plan, node, BEGAN, None))
                    .collect::<Result<_>>()?
            } else {
                let agents = recorded.iter().map(|of| Agent::recorded(plan, of, end, BEGAN, None));
                agents.collect::<Result<_>>()?
            };
            for agent in agents {
                inputs.fetch_add(play(plan, agent, every, &names, &mut values), Relaxed);
            }
            let minute = (plan.days * 1_440.0) as u64;
            let answers = promtool::ask(&entries(&sieve::sift(values)), every, &[(minute, LEAKS)])?;
            for alert in answers.into_iter().flatten() {
                println!("fleet: fired: {} ({} evaluations)", alert.0, alert.1);
                alerts.insert(alert.0, alert.1);
            }
            println!("fleet: part {} of {parts} judged", part + 1);
        }
    };
    let judged = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        let done = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        done.map(|done| done.unwrap_or_else(|_| anyhow::bail!("a worker panicked")))
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(Judged {
        alerts: judged.into_iter().flatten().collect(),
        inputs: inputs.load(Relaxed),
    })
}

/// Metrics that the rules read.
fn names() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in server::RULES {
        let text = fs::read_to_string(server::shipped(file))?;
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        names.extend(words.filter(|word| word.starts_with("observer_")).map(str::to_owned));
    }
    Ok(names)
}

fn play(plan: &Plan, mut agent: Agent, every: u64, names: &BTreeSet<String>, values: &mut Values) -> u64 {
    let steps = (plan.days * 86_400.0) as usize / every as usize + 1;
    for step in 1..steps {
        for told in agent.play((step as u64 * every) as f64, every as f64) {
            for line in told.text().lines() {
                let name = line.split('{').next().unwrap_or_default();
                let Some((series, value)) = line.rsplit_once(' ').filter(|_| names.contains(name)) else {
                    continue;
                };
                let of = values.entry(series.to_owned()).or_insert_with(|| vec![None; steps]);
                of[step] = value.parse().ok();
            }
        }
    }
    agent.node.moment().inputs
}
