//! Deliveries that go wrong: receivers that are down, half open or whose certificate has expired. Nothing is lost within
//! the bounds, and the state is visible.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::fd::AsFd as _,
    process::Command,
    time::{Duration, Instant},
};

use observer::{config, export::otlp::Otlp, snapshot::ExporterView};
use observer_tests::{
    agent::{self, Agent, DEADLINE},
    findings::finding,
    need,
    otlp::{Receiver, Tls},
    places,
    ports::free_ports,
};
use serde_json::{Value, json};

fn exporter(flags: &[(&'static str, String)]) -> Otlp {
    let flags: BTreeMap<&'static str, String> = flags.iter().cloned().collect();
    Otlp::start(&config::load(&flags, None).unwrap().config).unwrap()
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

fn logs(otlp: &Otlp) -> ExporterView {
    otlp.exporters()
        .into_iter()
        .find(|exporter| exporter.signal == "logs")
        .unwrap()
}

/// Waits until deliveries fail, and returns why.
async fn failing(otlp: &Otlp) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(why) = logs(otlp).failing {
            return why;
        }
        assert!(Instant::now() < deadline, "{:?}", logs(otlp));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Records in all the requests that come until there are `count`.
fn received(receiver: &Receiver, count: usize) -> usize {
    let mut records = 0;
    while records < count {
        let request = receiver.next().unwrap();
        let groups = request["message"]["resourceLogs"].as_array().unwrap();
        records += groups
            .iter()
            .map(|group| group["scopeLogs"][0]["logRecords"].as_array().unwrap().len())
            .sum::<usize>();
    }
    records
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

const ALONE: &str = "OBSERVER_TEST_ALONE";

/// Whether this is a process of the test's own, whose memory and CPU time are nobody else's; where it is not, the test is
/// run in one.
fn alone(name: &str) -> bool {
    let alone = std::env::var_os(ALONE).is_some();
    if !alone {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    alone
}

/// Attempts in an hour, with the half minute between two that there is by default and its jitter, at most.
const ATTEMPTS_AN_HOUR: u64 = 240;

/// As many attempts as an hour of a dead endpoint has, as fast as the configuration lets them follow one another.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_a_dead_endpoint_loses_nothing_and_costs_next_to_nothing() {
    need!(OtlpPython);
    if !alone("an_hour_of_a_dead_endpoint_loses_nothing_and_costs_next_to_nothing") {
        return;
    }
    for protocol in ["grpc", "http/protobuf"] {
        let [grpc, http] = free_ports().unwrap();
        let port = if protocol == "grpc" { grpc } else { http };
        let otlp = exporter(&[
            ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
            ("otlp-protocol", protocol.to_owned()),
            ("otlp-retry-initial-interval", "1ms".to_owned()),
            ("otlp-retry-max-interval", "10ms".to_owned()),
            ("spool-max", "16MiB".to_owned()),
        ]);
        (0..5_000).for_each(|nth| otlp.publish(&finding("cart", nth)));
        failing(&otlp).await;
        let (full, used, from) = (resident(), cpu(), logs(&otlp).retries);
        let deadline = Instant::now() + DEADLINE;
        while logs(&otlp).retries < from + ATTEMPTS_AN_HOUR {
            assert!(Instant::now() < deadline, "{:?}", logs(&otlp));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (later, used) = (resident(), cpu() - used);
        assert_eq!((logs(&otlp).waiting, logs(&otlp).dropped), (5_000, 0));
        assert!(
            later * 10 <= full * 11,
            "{protocol}: {full} bytes resident when it went dead, {later} an hour later"
        );
        // One part in a thousand of an hour of one core, by a build that is not optimised.
        assert!(used < 3.6, "{protocol}: {used} s of CPU for an hour of attempts");
        let back = Receiver::on_ports(grpc, http, &json!([]), None).unwrap();
        assert_eq!(received(&back, 5_000), 5_000, "{protocol}");
        otlp.finish(soon()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_where_it_was_when_the_bound_was_reached() {
    if !alone("memory_stays_where_it_was_when_the_bound_was_reached") {
        return;
    }
    let [dead] = free_ports().unwrap();
    let otlp = exporter(&[
        ("otlp-endpoint", format!("http://127.0.0.1:{dead}")),
        ("spool-max", "8MiB".to_owned()),
    ]);
    (0..20_000).for_each(|nth| otlp.publish(&finding("cart", nth)));
    failing(&otlp).await;
    assert!(logs(&otlp).dropped > 0, "{:?}", logs(&otlp));
    let full = resident();
    (20_000..100_000).for_each(|nth| otlp.publish(&finding("cart", nth)));
    let later = resident();
    let exporter = logs(&otlp);
    assert_eq!(exporter.waiting as u64 + exporter.dropped, 100_000);
    assert!(exporter.waiting_bytes <= 8 << 20, "{exporter:?}");
    assert!(
        later * 10 <= full * 11,
        "{full} bytes resident when full, {later} after five times as much"
    );
    otlp.finish(tokio::time::Instant::now()).await;
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A peer that accepts and never answers, and then resets the connection.
#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_given_up_and_the_records_wait() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let [port, other] = free_ports().unwrap();
        let silent = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let otlp = exporter(&[
            ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
            ("otlp-protocol", protocol.to_owned()),
            ("otlp-timeout", "1s".to_owned()),
        ]);
        (0..3).for_each(|nth| otlp.publish(&finding("cart", nth)));
        let (connection, _) = silent.accept().unwrap();
        let why = failing(&otlp).await;
        assert_eq!((logs(&otlp).waiting, logs(&otlp).refused), (3, 0), "{protocol}: {why}");
        rustix::net::sockopt::set_socket_linger(connection.as_fd(), Some(Duration::ZERO)).unwrap();
        drop((connection, silent));
        let (grpc, http) = if protocol == "grpc" {
            (port, other)
        } else {
            (other, port)
        };
        let back = Receiver::on_ports(grpc, http, &json!([]), None).unwrap();
        assert_eq!(received(&back, 3), 3, "{protocol}");
        otlp.finish(soon()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_named_and_what_waits_is_delivered_once_it_is_renewed() {
    need!(OtlpPython);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    for protocol in ["grpc", "http/protobuf"] {
        let authority = authority();
        std::fs::write(file("ca.pem"), authority.0.pem()).unwrap();
        let certify = |name: &str, expired: bool| {
            let (certificate, key) = certificate(&authority, expired);
            std::fs::write(file(&format!("{name}.pem")), certificate).unwrap();
            std::fs::write(file(&format!("{name}.key")), key).unwrap();
        };
        certify("expired", true);
        certify("renewed", false);
        let [grpc, http] = free_ports().unwrap();
        let start = |name: &str| {
            let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
            let tls = Tls {
                certificate: &certificate,
                key: &key,
                clients: None,
            };
            Receiver::on_ports(grpc, http, &json!([]), Some(tls)).unwrap()
        };
        let receiver = start("expired");
        let port = if protocol == "grpc" {
            receiver.grpc
        } else {
            receiver.http
        };
        let otlp = exporter(&[
            ("otlp-endpoint", format!("https://localhost:{port}")),
            ("otlp-protocol", protocol.to_owned()),
            ("otlp-certificate", file("ca.pem").display().to_string()),
        ]);
        (0..3).for_each(|nth| otlp.publish(&finding("cart", nth)));
        let why = failing(&otlp).await;
        assert!(why.to_lowercase().contains("expired"), "{protocol}: {why}");
        assert_eq!((logs(&otlp).waiting, logs(&otlp).refused), (3, 0), "{protocol}");
        drop(receiver);
        let renewed = start("renewed");
        assert_eq!(received(&renewed, 3), 3, "{protocol}");
        otlp.finish(soon()).await;
    }
}

const SECRET: &str = "canary-of-the-headers";

type Authority = (rcgen::Certificate, rcgen::Issuer<'static, rcgen::KeyPair>);

fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate, rcgen::Issuer::new(parameters, key))
}

/// PEM of a server's certificate and of its key.
fn certificate(authority: &Authority, expired: bool) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(if expired { 2021 } else { 2200 }, 1, 1);
    let certificate = parameters.signed_by(&key, &authority.1).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The running agent shows it to `observer status`, and shows what it sends in its headers to nobody.
#[test]
fn a_dead_endpoint_is_visible_in_the_status_and_the_headers_nowhere() {
    need!(Root);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let [dead] = free_ports().unwrap();
    let (endpoint, store, socket) = (format!("http://127.0.0.1:{dead}"), file("store"), file("status.sock"));
    let flags = [
        "--hooks",
        "off",
        "--otlp-endpoint",
        &endpoint,
        "--metrics-interval",
        "1s",
        "--store",
        &store,
    ];
    let flags = [&flags[..], &["--status-socket", &socket, "--stop-timeout", "0s"]].concat();
    // The second agent has something to say: the gap between them.
    Agent::start(&flags).unwrap().stop().unwrap();
    let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "1s"]);
    command
        .args(flags)
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{SECRET}"));
    let agent = Agent::spawn(&mut command).unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let output = Command::new(places::agent())
            .args(["status", "--json", "--status-socket", &socket])
            .output()
            .unwrap();
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let exporters: BTreeMap<&str, &Value> = shown["agent"]["export"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|exporter| Some((exporter["signal"].as_str()?, exporter)))
            .collect();
        let failing = |signal: &str| {
            exporters
                .get(signal)
                .is_some_and(|exporter| exporter["failing"].is_string())
        };
        if failing("logs") && failing("own_metrics") && exporters["logs"]["waiting"].as_u64() > Some(0) {
            assert!(exporters["logs"]["oldest_s"].as_f64() > Some(0.0), "{shown:#}");
            let page = Command::new(places::agent())
                .args(["status", "--status-socket", &socket])
                .output()
                .unwrap();
            let page = String::from_utf8_lossy(&page.stdout).into_owned();
            assert!(page.contains("failing: "), "{page}");
            let stopped = agent.stop().unwrap();
            let recording = std::fs::read_to_string(&stopped.recording).unwrap();
            let said = stopped.messages.join("\n");
            assert!(said.contains("not delivered"), "{said}");
            let stored = ["spool.redb", "history.redb"]
                .map(|name| std::fs::read(std::path::Path::new(&store).join(name)).unwrap())
                .concat();
            for text in [
                &shown.to_string(),
                &page,
                &said,
                &recording,
                &stopped.findings.join("\n"),
            ] {
                assert!(!text.contains(SECRET), "{text}");
            }
            assert!(!stored.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
            return;
        }
        assert!(Instant::now() < deadline, "{shown:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
