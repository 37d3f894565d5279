//! The shipped rules on engines that users grow into: a Thanos that loses a store while an alert is pending, and VictoriaMetrics
//! over a whole history, each fed by the agent's own exporters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/fleet/agent.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod agent;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use agent::{Agent, Told};
use observer_core::time::WallTime;
use observer_tests::{
    agent::DEADLINE,
    backend::Backend,
    counterpart::THANOS,
    fleet::{Leaking, Plan, dashboards::encoded, thanos::Thanos},
    need,
};

/// Eight replicas that leak since a quarter of a day, and the same number of others.
const PLAN: Plan = Plan {
    nodes: 4,
    containers: 2,
    replicas: 2,
    days: 1.1,
    interval: 120.0,
    seed: 3,
    leaking: Some(Leaking {
        replicas: 8,
        since: 0.25,
        hours: 25.0,
    }),
};

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Alerts that say that a version leaks: name, workload, version, state and since when.
fn leaks(rulers: &[Backend]) -> Vec<[String; 5]> {
    let mut leaks = Vec::new();
    for ruler in rulers {
        let answer = ruler.ask("/api/v1/alerts").unwrap();
        // Thanos writes it as its own types are called, and no list where there is none.
        let lists = [&answer["data"]["alerts"], &answer["data"]["Alerts"]];
        for alert in lists.into_iter().filter_map(|list| list.as_array()).flatten() {
            let of = |label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
            let name = of("alertname");
            if name.starts_with("ObserverLeak") || name.starts_with("ObserverCanary") {
                let text = |field: &str| alert[field].as_str().unwrap_or_default().to_owned();
                leaks.push([
                    name,
                    of("observer_workload"),
                    of("service_version"),
                    text("state").to_lowercase(),
                    text("activeAt"),
                ]);
            }
        }
    }
    leaks.sort();
    leaks
}

/// Sends until it is taken: a store says that it is ready before it listens for points, and refuses some while it is learnt that
/// another is gone.
async fn taken(agent: &Agent, told: &Told) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = agent.send(told).await {
        assert!(Instant::now() < deadline, "{error:#}");
        // It announces its readiness nowhere else.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Replicated ingest, rules shared between two evaluators, the files as they are shipped but for how often they are evaluated. A store
/// is killed while the alert is pending: it goes on pending since the same moment, and fires once, of the right version.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_outlives_a_store_of_a_thanos() {
    need!(Full, Counterpart(&THANOS));
    let mut thanos = Thanos::start(&THANOS.program("thanos").unwrap(), "5s").unwrap();
    let began = WallTime(wall() - (PLAN.days * 86_400e9) as u64);
    let now = || (wall() - began.0) as f64 / 1e9;
    let live = Plan {
        days: PLAN.days + 1.0,
        ..PLAN
    };
    let otlp = thanos.otlp().unwrap();
    let mut agents: Vec<Agent> = (0..PLAN.nodes)
        .map(|node| Agent::start(&live, node, began, Some(&otlp)).unwrap())
        .collect();
    // The agents know their history; what is sent of it is the last hour.
    for agent in &mut agents {
        agent.play(now() - 3_600.0, f64::MAX);
        for told in agent.play(now(), 120.0) {
            taken(agent, &told).await;
        }
    }
    let (mut pending, mut fired) = (None, None);
    let deadline = Instant::now() + DEADLINE * 4;
    let mut versions = BTreeSet::new();
    // It goes on for a while after it has fired: a second one would come then.
    while fired.is_none_or(|at: Instant| at.elapsed() < Duration::from_secs(30)) {
        assert!(Instant::now() < deadline, "{pending:?}, {fired:?}: {}", thanos.log());
        for agent in &mut agents {
            agent.play(now(), f64::MAX);
            let told = agent.now();
            taken(agent, &told).await;
        }
        let leaks = leaks(&thanos.rulers);
        let checkout: Vec<_> = leaks
            .iter()
            .filter(|[_, workload, ..]| workload == "shop/Deployment/checkout/api")
            .collect();
        versions.extend(checkout.iter().map(|[.., version, _, _]| version.clone()));
        let likely: Vec<_> = checkout
            .iter()
            .filter(|[name, ..]| name == "ObserverLeakLikely")
            .collect();
        assert!(likely.len() <= 1, "{leaks:?}");
        if let Some([_, _, _, state, since]) = likely.first() {
            match &pending {
                None => {
                    assert_eq!(state, "pending", "{leaks:?}");
                    pending = Some(since.clone());
                    thanos.kill(2);
                }
                Some(before) => assert_eq!(before, since, "it began anew: {leaks:?}"),
            }
            if state == "firing" && fired.is_none() {
                fired = Some(Instant::now());
            }
        } else {
            assert!(pending.is_none(), "it ended: {leaks:?}\n{}", thanos.log());
        }
        // Points and evaluations come by the clock; nothing announces them.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(versions, BTreeSet::from(["1.42".to_owned()]));
    // Each series is there once, whoever holds it.
    let answer = thanos
        .query
        .ask(&format!(
            "/api/v1/query?query={}",
            encoded("count by (service_version) (observer_leak_state{job=\"shop/checkout\"})")
        ))
        .unwrap();
    assert_eq!(answer["data"]["result"][0]["value"][1], "8", "{answer}");
    for agent in agents {
        agent.finish().await;
    }
}
