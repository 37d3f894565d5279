//! The agent killed a hundred times under load while its endpoint is dead: what it had said for longer than a sync interval
//! arrives when the endpoint is back, each record under an id of its own, and every agent starts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use observer_tests::{
    agent::Agent,
    bundle::Spec,
    container::{Container, Restart},
    need,
    otlp::Receiver,
    ports::free_ports,
    stage::Scratch,
};
use serde_json::{Value, json};

/// A sync interval of a second, and the time a busy machine takes to do it.
const SYNC: Duration = Duration::from_secs(3);

/// What one life of the agent said, and when that was read.
#[derive(Default)]
struct Life {
    said: Vec<(Instant, String)>,
    messages: String,
}

/// Starts an agent, and kills it after some time.
fn life(flags: &[&str], lasting: Duration) -> (Life, Instant) {
    let mut agent = Agent::launch(flags).unwrap();
    let mut life = Life::default();
    let end = Instant::now() + lasting;
    loop {
        let now = Instant::now();
        let known = life.said.len();
        let lines = agent.findings.so_far();
        life.said.extend(lines[known..].iter().map(|line| (now, id(line))));
        if now >= end {
            break;
        }
        // The look-out for the next line; the moment of the kill is random.
        std::thread::sleep(Duration::from_millis(20).min(end - now));
    }
    life.messages = agent.messages.so_far().join("\n");
    let killed = Instant::now();
    // Its drop is a SIGKILL.
    drop(agent);
    (life, killed)
}

fn id(line: &str) -> String {
    let finding: Value = serde_json::from_str(line).unwrap();
    finding["attributes"]["observer.finding.id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Takes requests until every one of these ids has come; all records by their ids.
fn received(receiver: &Receiver, wanted: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<(String, u64)>> {
    let mut all: BTreeMap<String, BTreeSet<(String, u64)>> = BTreeMap::new();
    while !wanted.iter().all(|id| all.contains_key(id)) {
        let missing = wanted.iter().filter(|id| !all.contains_key(*id)).count();
        let request = receiver
            .next()
            .unwrap_or_else(|error| panic!("{missing} are missing: {error}"));
        for group in request["message"]["resourceLogs"].as_array().into_iter().flatten() {
            for record in group["scopeLogs"][0]["logRecords"].as_array().unwrap() {
                let attributes = record["attributes"].as_array().unwrap();
                let id = attributes.iter().find(|a| a["key"] == "observer.finding.id").unwrap();
                let id = id["value"]["stringValue"].as_str().unwrap().to_owned();
                let time = record["timeUnixNano"].as_str().unwrap().parse().unwrap();
                let name = record["eventName"].as_str().unwrap().to_owned();
                all.entry(id).or_default().insert((name, time));
            }
        }
    }
    all
}

#[test]
fn a_hundred_kills_of_an_agent_under_load_lose_nothing_that_was_synced() {
    need!(Full, Root, Bpf, Runc, Node, OtlpPython);
    let directory = Scratch::new("kills").unwrap();
    let store = directory.file("store");
    let [grpc, http] = free_ports().unwrap();
    let endpoint = format!("http://127.0.0.1:{http}");
    let load = ["brief-a", "brief-b", "brief-c"].map(|name| {
        let spec = Spec::fixture(name, Some(256 << 20), "brief.js", &[]).with("OTEL_SERVICE_NAME", name);
        Container::ready(spec, Restart::After(Duration::from_millis(100))).unwrap()
    });
    let path = store.display().to_string();
    let flags = ["--store", &path, "--otlp-endpoint", &endpoint, "--state-interval", "1s"];
    let mut wanted = BTreeSet::new();
    for round in 0..100 {
        let (life, killed) = life(&flags, Duration::from_millis(fastrand::u64(..6_000)));
        let said = &life.messages;
        assert!(
            !said.contains("panicked") && !said.contains("damaged"),
            "round {round}: {said}"
        );
        let synced = life.said.into_iter().filter(|(read, _)| killed - *read > SYNC);
        wanted.extend(synced.map(|(_, id)| id));
    }
    drop(load);
    assert!(
        !wanted.is_empty(),
        "no load: nothing was said for longer than a sync takes"
    );
    let receiver = Receiver::on_ports(grpc, http, &json!([]), None).unwrap();
    let last = Agent::start(&flags).unwrap();
    let all = received(&receiver, &wanted);
    // An agent whose state had not been put away sees the same again, and reads the wall clock anew: some nanoseconds apart.
    let same = |records: &BTreeSet<(String, u64)>| {
        let (first, last) = (records.first().unwrap(), records.last().unwrap());
        first.0 == last.0 && last.1 - first.1 < 1_000_000_000
    };
    let other: Vec<_> = all.iter().filter(|(_, records)| !same(records)).collect();
    assert!(other.is_empty(), "two findings under one id: {other:#?}");
    last.stop().unwrap();
    assert_kept(&store, &wanted);
}

/// The history has them too.
fn assert_kept(store: &Path, wanted: &BTreeSet<String>) {
    let records = observer::store::read(store, None, usize::MAX).unwrap();
    let kept: BTreeSet<String> = records
        .into_iter()
        .filter_map(|record| match record {
            observer::store::Record::Finding(finding) => Some(finding.id),
            observer::store::Record::Run(_) => None,
        })
        .collect();
    let missing: Vec<_> = wanted.difference(&kept).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", wanted.len());
}
