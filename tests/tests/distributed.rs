//! The shipped rules on engines that users grow into: a Thanos that loses a store while an alert is pending, and VictoriaMetrics
//! over a whole history, each fed by the agent's own exporters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/fleet/agent.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod agent;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use agent::{Agent, Told};
use observer_core::time::WallTime;
use observer_tests::{
    agent::DEADLINE,
    backend::{Backend, debian_victoria_metrics},
    counterpart::{THANOS, VMALERT},
    fleet::{
        Leaking, Plan,
        dashboards::{encoded, expressions},
        promtool::{self, Values},
        server,
        thanos::Thanos,
    },
    need,
    stage::Scratch,
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
        hours: 23.0,
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

/// Seconds between two points, and between two evaluations.
const EVERY: u64 = 60;
/// Seconds of history that both engines are given.
const TOLD: u64 = 3 * 3_600;

/// What agents tell of the last hours of a history, and the same as VictoriaMetrics imports it: it ends at `end`, seconds since 1970.
fn history(end: u64) -> (Values, Vec<String>) {
    let began = WallTime((end * 1_000_000_000) - (PLAN.days * 86_400e9) as u64);
    let (from, steps) = (PLAN.days * 86_400.0 - TOLD as f64, (TOLD / EVERY) as usize + 1);
    let (mut values, mut texts) = (Values::new(), Vec::new());
    for node in 0..PLAN.nodes {
        let mut agent = Agent::start(&PLAN, node, began, None).unwrap();
        agent.play(from - EVERY as f64, f64::MAX);
        for step in 0..steps {
            let told = agent.play(from + (step as u64 * EVERY) as f64, f64::MAX);
            assert!(told.is_empty(), "it is asked below");
            let mut text = String::new();
            for line in agent.now().text().lines().filter(|line| !line.starts_with('#')) {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let of = values.entry(series.to_owned()).or_insert_with(|| vec![None; steps]);
                of[step] = value.parse().ok();
                writeln!(text, "{line} {}", (end - TOLD + step as u64 * EVERY) * 1_000).unwrap();
            }
            texts.push(text);
        }
    }
    (values, texts)
}

/// The values of its labels and the value of each sample that VictoriaMetrics gives, as [`promtool::ask`] has them.
fn samples(server: &Backend, expression: &str, at: u64) -> BTreeMap<String, f64> {
    // Prometheus looks back for five minutes.
    let path = format!("/api/v1/query?query={}&time={at}&step=5m", encoded(expression));
    let answer = server.ask(&path).unwrap();
    let list = answer["data"]["result"].as_array().unwrap().iter();
    list.map(|sample| {
        let labels: BTreeMap<String, String> = serde_json::from_value(sample["metric"].clone()).unwrap();
        let values: Vec<_> = labels
            .into_iter()
            .filter(|(name, _)| name != "__name__")
            .map(|(_, value)| value)
            .collect();
        (values.join(" "), sample["value"][1].as_str().unwrap().parse().unwrap())
    })
    .collect()
}

/// The rules as they are shipped, over the same history: evaluated by Prometheus' own engine, and by vmalert on VictoriaMetrics. The same
/// alerts fire with the same labels, and each query of each dashboard gives the same.
///
/// MetricsQL's `rate` and `increase` take the sample before their window and do not extrapolate to its ends, so what has them
/// may differ by the share of a step in the shortest window, 5 minutes; everything else agrees to rounding.
#[test]
fn victoria_metrics_says_what_prometheus_says() {
    need!(Full, Counterpart(&VMALERT), DebianVictoriaMetrics, DebianPrometheus);
    let end = wall() / 1_000_000_000 / EVERY * EVERY - 3_600;
    let (values, texts) = history(end);
    let victoria = Backend::empty_victoria_metrics(&debian_victoria_metrics().unwrap(), &[]).unwrap();
    texts.iter().for_each(|text| victoria.import(text).unwrap());
    victoria.imported().unwrap();

    let time = |seconds: u64| {
        let date = Command::new("date")
            .args(["--utc", "+%FT%TZ", &format!("--date=@{seconds}")])
            .output();
        String::from_utf8(date.unwrap().stdout).unwrap().trim().to_owned()
    };
    let scratch = Scratch::new("vmalert").unwrap();
    let mut command = Command::new(VMALERT.program("vmalert").unwrap());
    for file in server::rules(scratch.path(), Some(&format!("{EVERY}s"))).unwrap() {
        command.arg(format!("-rule={}", file.display()));
    }
    let address = format!("http://{}", victoria.query);
    let output = command
        .args([
            format!("-datasource.url={address}"),
            format!("-remoteWrite.url={address}"),
        ])
        .args([
            format!("-replay.timeFrom={}", time(end - TOLD)),
            format!("-replay.timeTo={}", time(end)),
        ])
        // A rule reads what those above it have written, which VictoriaMetrics shows after two seconds or so.
        .args(["-remoteWrite.flushInterval=500ms", "-replay.rulesDelay=4s"])
        .args([
            "-disableAlertgroupLabel",
            "-replay.disableProgressBar",
            "-httpListenAddr=127.0.0.1:0",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    victoria.imported().unwrap();

    let mut questions = vec![("alerts".to_owned(), r#"ALERTS{alertstate="firing"}"#.to_owned())];
    questions.extend(expressions().unwrap());
    let minute = TOLD / 60;
    let asked: Vec<_> = questions
        .iter()
        .map(|(_, expression)| (minute, expression.as_str()))
        .collect();
    let answers = promtool::ask(&promtool::entries(&values), EVERY, &asked).unwrap();
    assert!(
        answers[0].keys().any(|labels| labels.contains("ObserverLeak")),
        "{:?}",
        answers[0]
    );
    let mut differ = Vec::new();
    for ((name, expression), prometheus) in questions.iter().zip(&answers) {
        let victoria = samples(&victoria, expression, end);
        let counted = ["rate(", "increase"].iter().any(|of| expression.contains(of));
        let tolerance = if counted { EVERY as f64 / 300.0 } else { 1e-6 };
        let alike = prometheus.len() == victoria.len()
            && prometheus.iter().all(|(labels, value)| {
                victoria
                    .get(labels)
                    .is_some_and(|other| (value - other).abs() <= tolerance * value.abs())
            });
        println!("{name}: {} samples", prometheus.len());
        if !alike {
            differ.push(format!("{name}: {expression}\n  {prometheus:?}\n  {victoria:?}"));
        }
    }
    let some = answers.iter().filter(|answer| !answer.is_empty()).count();
    assert!(some > 30, "{some} of {} queries give data", answers.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
