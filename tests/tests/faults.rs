//! Deliveries that go wrong: receivers that are down, half open or whose certificate has expired, agents that are killed,
//! disks that are full. Nothing is lost within the bounds, and the state is visible.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::fd::AsFd as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use observer::{
    agent::LaneView,
    config,
    export::otlp::{Entry, Otlp, Queue},
    store::{History, Record, Spool},
};
use observer_tests::{
    agent::{Agent, DEADLINE},
    findings::finding,
    need,
    otlp::{Receiver, Tls},
    places,
};
use serde_json::{Value, json};

fn exporter(flags: &[(&'static str, String)]) -> Otlp {
    let flags: BTreeMap<&'static str, String> = flags.iter().cloned().collect();
    Otlp::start(&config::load(&flags, None).unwrap().config).unwrap()
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

fn logs(otlp: &Otlp) -> LaneView {
    otlp.lanes().into_iter().find(|lane| lane.signal == "logs").unwrap()
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

/// An hour of a dead endpoint is what comes in an hour: here it comes at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_loses_nothing_within_the_bound_and_costs_no_more_than_the_bound() {
    need!(OtlpPython);
    let first = Receiver::start(&json!([]), None).unwrap();
    let (grpc, http) = (first.grpc, first.http);
    drop(first);
    let flags = |max: &str| {
        [
            ("otlp-endpoint", format!("http://127.0.0.1:{http}")),
            ("spool-max", max.to_owned()),
        ]
    };
    // Within the bound: everything arrives, once.
    let otlp = exporter(&flags("16MiB"));
    (0..5_000).for_each(|nth| otlp.publish(&finding("cart", nth)));
    failing(&otlp).await;
    assert_eq!((logs(&otlp).waiting, logs(&otlp).dropped), (5_000, 0));
    let back = Receiver::on_ports(grpc, http, &json!([]), None).unwrap();
    assert_eq!(received(&back, 5_000), 5_000);
    otlp.finish(soon()).await;
    drop(back);

    // Beyond it: the oldest go, counted, and memory stays where it was when the bound was reached.
    let otlp = exporter(&flags("8MiB"));
    (0..20_000).for_each(|nth| otlp.publish(&finding("cart", nth)));
    failing(&otlp).await;
    assert!(logs(&otlp).dropped > 0, "{:?}", logs(&otlp));
    let full = resident();
    (20_000..100_000).for_each(|nth| otlp.publish(&finding("cart", nth)));
    let later = resident();
    let lane = logs(&otlp);
    assert_eq!(lane.waiting as u64 + lane.dropped, 100_000);
    assert!(lane.waiting_bytes <= 8 << 20, "{lane:?}");
    assert!(
        later * 10 <= full * 11,
        "{full} bytes resident when full, {later} after five times as much"
    );
    otlp.finish(tokio::time::Instant::now()).await;
}

/// A peer that accepts and never answers, and then resets the connection.
#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_given_up_and_the_records_wait() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
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
        let (grpc, http) = if protocol == "grpc" { (port, 0) } else { (0, port) };
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
        let start = |name: &str, ports: (u16, u16)| {
            let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
            let tls = Tls {
                certificate: &certificate,
                key: &key,
                clients: None,
            };
            Receiver::on_ports(ports.0, ports.1, &json!([]), Some(tls)).unwrap()
        };
        let receiver = start("expired", (0, 0));
        let (grpc, http) = (receiver.grpc, receiver.http);
        let port = if protocol == "grpc" { grpc } else { http };
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
        let renewed = start("renewed", (grpc, http));
        assert_eq!(received(&renewed, 3), 3, "{protocol}");
        otlp.finish(soon()).await;
    }
}

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

/// The running agent shows it, to `observer status` and to a scraper.
#[test]
fn a_dead_endpoint_is_visible_in_the_status() {
    need!(Root);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let [dead] = observer_tests::backend::free_ports().unwrap();
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
    let _agent = Agent::start(&flags).unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let output = Command::new(places::agent())
            .args(["status", "--json", "--status-socket", &socket])
            .output()
            .unwrap();
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let lanes: BTreeMap<&str, &Value> = shown["agent"]["export"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|lane| Some((lane["signal"].as_str()?, lane)))
            .collect();
        let failing = |signal: &str| lanes.get(signal).is_some_and(|lane| lane["failing"].is_string());
        if failing("logs") && failing("own_metrics") && lanes["logs"]["waiting"].as_u64() > Some(0) {
            assert!(lanes["logs"]["oldest_s"].as_f64() > Some(0.0), "{shown:#}");
            return;
        }
        assert!(Instant::now() < deadline, "{shown:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

const ROLE: &str = "OBSERVER_TEST_ROLE";
const STORE: &str = "OBSERVER_TEST_STORE";
/// Time between two syncs in these tests.
const SYNC: Duration = Duration::from_millis(10);

/// This test program again, as the process that is killed or runs out of disk.
fn again(role: &str, store: &Path, wrapper: &[&str]) -> Command {
    let this = env::current_exe().unwrap();
    let mut words: Vec<&std::ffi::OsStr> = wrapper.iter().map(|word| std::ffi::OsStr::new(*word)).collect();
    words.push(this.as_os_str());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["--exact", "the_process_that_suffers", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(STORE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Does nothing unless started by a test here.
#[test]
fn the_process_that_suffers() {
    let (Ok(role), Some(store)) = (env::var(ROLE), env::var_os(STORE)) else {
        return;
    };
    match role.as_str() {
        "killed" => writes_until_killed(Path::new(&store)),
        _ => writes_to_a_small_disk(Path::new(&store)),
    }
}

fn entry(nth: u64, size: usize) -> Entry {
    Entry {
        id: format!("{nth:09}"),
        resource: Bytes::from_static(b"resource"),
        record: Bytes::from(vec![nth as u8; size]),
        made: 1,
    }
}

fn record(nth: u64) -> Record {
    Record::Finding(Box::new(finding("cart", nth)))
}

fn spool(directory: &Path, bytes: usize) -> (Spool, Arc<Queue>) {
    let queue = Arc::new(Queue::with_capacity(bytes));
    let spool = Spool::start_with(directory, &[("logs", Arc::clone(&queue))], SYNC).unwrap();
    (spool, queue)
}

fn ids(queue: &Queue) -> Vec<u64> {
    let batch = queue.batch(usize::MAX, usize::MAX);
    let entries = batch.map_or_else(Vec::new, |batch| batch.entries);
    entries.iter().map(|entry| entry.id.parse().unwrap()).collect()
}

/// Says a line that the parent has once it reads it, whatever becomes of this process.
fn tell(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn writes_until_killed(directory: &Path) {
    let (spool, queue) = spool(directory, 4 << 20);
    let (history, _thread, _) = History::start_with(directory, 1 << 20, SYNC).unwrap();
    let first = ids(&queue).last().map_or(0, |last| last + 1);
    tell(format_args!("started"));
    let mut told = (0, 0);
    for nth in first.. {
        queue.push(entry(nth, 200));
        history.keep(&record(nth));
        let synced = (spool.counts.synced.load(Relaxed), history.counts.written.load(Relaxed));
        if synced != told {
            told = synced;
            tell(format_args!("synced {} {}", synced.0, synced.1));
        }
        if nth % 16 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Killed at a hundred moments under load: what was synced is there, whole and in order, and the store opens.
#[test]
fn a_hundred_kills_lose_no_more_than_what_was_not_synced() {
    let directory = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..100 {
        let mut child = again("killed", directory.path(), &[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines
            .find(|line| line.as_ref().is_ok_and(|line| line.contains("started")))
            .unwrap()
            .unwrap();
        // The moment is random; nothing depends on what it hits.
        std::thread::sleep(Duration::from_micros(fastrand::u64(..30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines
            .map_while(Result::ok)
            .filter(|line| line.starts_with("synced"))
            .last();
        let (synced, written) = last.map_or((0, 0), |line| {
            let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap());
            (words.next().unwrap(), words.next().unwrap())
        });

        let (spool, queue) = spool(directory.path(), 4 << 20);
        assert_eq!(spool.counts.damaged.load(Relaxed), 0, "round {round}");
        let kept = ids(&queue);
        assert!(
            kept.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "round {round}: a hole"
        );
        let end = queue.window().1;
        assert!(end >= synced, "round {round}: {synced} were synced, {end} are there");
        spool.finish();
        let (history, thread, _) = History::start_with(directory.path(), 1 << 20, SYNC).unwrap();
        let counts = Arc::clone(&history.counts);
        thread.finish();
        let there = counts.written.load(Relaxed);
        assert!(
            there >= written,
            "round {round}: {written} were written, {there} are there"
        );
        assert_eq!(counts.damaged.load(Relaxed), 0, "round {round}");
        total = end;
    }
    assert!(total > 0, "no round wrote anything");
}

fn writes_to_a_small_disk(directory: &Path) {
    let (spool, queue) = spool(directory, 64 << 20);
    let (history, thread, _) = History::start_with(directory, 64 << 20, SYNC).unwrap();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + DEADLINE;
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(SYNC);
        }
    };
    for nth in 0..4_000 {
        queue.push(entry(nth, 4_000));
        history.keep(&record(nth));
    }
    until("the disk is full", &|| spool.counts.failed.load(Relaxed) > 0);
    tell(format_args!("full {}", queue.depth().entries));
    // The receiver is back: what is delivered makes room, and syncs go on.
    if let Some(batch) = queue.batch(3_990, usize::MAX) {
        queue.acknowledge(&batch, 3_990);
    }
    let before = spool.counts.synced.load(Relaxed);
    queue.push(entry(4_000, 100));
    until("a sync after the disk had been full", &|| {
        spool.counts.synced.load(Relaxed) > before
    });
    spool.finish();
    thread.finish();
    tell(format_args!("left {}", ids(&queue).len()));
}

#[test]
fn a_full_disk_ends_nothing_and_syncs_go_on_when_there_is_room() {
    need!(Root, Program("unshare"), Program("mount"));
    let directory = tempfile::tempdir().unwrap();
    // In a mount namespace of its own: nobody else sees it, and it goes with the process.
    let mount = format!(
        "mount -t tmpfs -o size=6m none '{}' && exec \"$0\" \"$@\"",
        directory.path().display()
    );
    let wrapper = ["unshare", "--mount", "sh", "-c", &mount];
    let output = again("disk", directory.path(), &wrapper).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("full 4000"),
        "all of it waits in memory meanwhile: {said}"
    );
    assert!(said.contains("left 11"), "{said}");
}
