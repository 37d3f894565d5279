//! `observer audit` on a real Prometheus and a real VictoriaMetrics: what it says of each container, and the same verdicts as
//! `replay` of the same data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod refusing;
mod who;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Output},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use observer_tests::{
    agent,
    backend::{Backend, debian_prometheus, debian_victoria_metrics},
    counterpart::THANOS,
    histories::{HOURS, STEP, cluster, text},
    need, places,
    stage::Scratch,
};
use serde_json::Value;

/// The last value's time: the last whole minute.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    now - now % STEP
}

/// A Prometheus with that history and the time it ends at, the same for all tests.
fn prometheus() -> (&'static Backend, i64) {
    static SHARED: OnceLock<(Backend, i64)> = OnceLock::new();
    let (backend, end) = SHARED.get_or_init(|| {
        let (give, take) = mpsc::channel();
        // It dies with the thread that starts it, which is to outlive the test.
        thread::spawn(move || {
            let end = now();
            let backend = Backend::with_history(&debian_prometheus().unwrap(), &text(&cluster(), end, 1), None);
            let _ = give.send((backend.unwrap(), end));
            loop {
                thread::park();
            }
        });
        take.recv().unwrap()
    });
    (backend, *end)
}

/// `observer audit` of the whole history.
fn command(address: &str, end: i64, arguments: &[&str]) -> Command {
    let mut command = agent::command(&["audit", address, "--since", &format!("{HOURS}h"), "--until"]);
    let until = Command::new("date")
        .args(["-u", "-d", &format!("@{end}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    command
        .arg(String::from_utf8(until.stdout).unwrap().trim())
        .args(arguments);
    command
}

fn audit(address: &str, end: i64, arguments: &[&str]) -> Output {
    command(address, end, arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is said of each container, by `namespace/pod/container`.
fn containers(output: &Output) -> BTreeMap<String, Value> {
    assert!(!output.stdout.is_empty(), "{}", errors(output));
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = fs::read(places::workspace().join("docs/schemas/audit.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let invalid: Vec<String> = schema.iter_errors(&whole).map(|error| error.to_string()).collect();
    assert!(invalid.is_empty(), "{}", invalid.join("\n"));
    let name = |one: &Value| ["namespace", "pod", "container"].map(|part| one[part].as_str().unwrap().to_owned());
    let list = whole["containers"].as_array().unwrap();
    list.iter().map(|one| (name(one).join("/"), one.clone())).collect()
}

fn outcomes(containers: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    containers
        .iter()
        .map(|(name, one)| (name.as_str(), one["outcome"].as_str().unwrap()))
        .collect()
}

/// One range query over the whole history, as `curl` would ask and a person would save it.
fn saved(address: &str, query: &str, end: i64) -> String {
    let start = end - (HOURS * 3_600) + STEP;
    let form = format!("query={query}&start={start}&end={end}&step={STEP}");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /api/v1/query_range HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Findings of `observer replay` of the same data, by series.
fn replayed(address: &str, end: i64) -> BTreeMap<String, Vec<Value>> {
    let scratch = Scratch::new("saved").unwrap();
    let file = scratch.file("answers.json");
    let metrics = [
        "container_memory_rss",
        "container_memory_working_set_bytes",
        "container_memory_swap",
        "container_memory_cache",
        "container_spec_memory_limit_bytes",
        "kube_pod_container_resource_limits",
        "container_cpu_usage_seconds_total",
        "kube_pod_container_status_restarts_total",
        "container_start_time_seconds",
        "kube_pod_container_status_last_terminated_reason",
        "kube_pod_info",
    ];
    let answers: Vec<String> = metrics.iter().map(|metric| saved(address, metric, end)).collect();
    fs::write(&file, answers.join("\n")).unwrap();
    let output = agent::command(&["replay", "--format", "prometheus"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let mut by_series: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let finding: Value = serde_json::from_str(line).unwrap();
        let series = finding["series"].as_str().unwrap().to_owned();
        by_series.entry(series).or_default().push(finding);
    }
    by_series
}

const EXPECTED: [(&str, &str); 10] = [
    ("odd.ns/a.b|c/<script>\u{1b}[31m\u{202e}\"\\", "healthy"),
    ("shop/api-1/api", "leaking"),
    ("shop/cart-0/cart", "leaking"),
    ("shop/fixed-4/db", "healthy"),
    ("shop/gone-7/cart", "leaking"),
    ("shop/legacy-6/app", "leaking"),
    ("shop/new-8/web", "not_judged"),
    ("shop/nightly-5/batch", "growing"),
    ("shop/tight-3/worker", "undersized"),
    ("shop/web-2/web", "healthy"),
];

/// The same of both servers, and of each what `replay` of its answers says.
fn said_as_replayed(backend: &Backend, end: i64) {
    let output = audit(&backend.query, end, &["--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    let containers = containers(&output);
    assert_eq!(outcomes(&containers), BTreeMap::from(EXPECTED));
    let replayed = replayed(&backend.query, end);
    for (name, one) in &containers {
        let findings = one["findings"].as_array().unwrap();
        assert_eq!(Some(findings), replayed.get(name).or(Some(&Vec::new())), "{name}");
    }
    assert_eq!(containers["shop/gone-7/cart"]["gone"], true);
    assert_eq!(containers["shop/cart-0/cart"]["gone"], false);
    assert_eq!(containers["shop/fixed-4/db"]["version"], "shop/app:2");
    // Of a confirmed leak too: the rest of the way at its pace.
    let cart = &containers["shop/cart-0/cart"];
    assert_eq!(cart["state"], "confirmed");
    let number = |name: &str| cart[name].as_f64().unwrap();
    let pace = number("slope_bytes_per_hour") / 3_600.0;
    let left = cart["time_to_ceiling_s"]["p50"].as_f64().unwrap();
    let stands_at_end = left.mul_add(pace, number("level_bytes"));
    assert!((stands_at_end / number("limit_bytes") - 1.0).abs() < 0.1, "{cart}");
    assert!(cart["why"].as_str().unwrap().contains("there in"), "{cart}");
}

#[test]
fn a_prometheus_is_judged_as_replay_judges_its_answers() {
    need!(DebianPrometheus);
    let (backend, end) = prometheus();
    said_as_replayed(backend, end);

    // For people: worst first, names harmless, and the exit code as asked.
    let scratch = Scratch::new("page").unwrap();
    let page = scratch.file("page.html");
    let output = audit(
        &backend.query,
        end,
        &["--all", "--html", page.to_str().unwrap(), "--fail-on", "never"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .skip(1)
        .take(10)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let mut sorted = rows.clone();
    let rank = |row: &&str| {
        ["leaking", "undersized", "growing", "healthy", "not"]
            .iter()
            .position(|name| name == row)
    };
    sorted.sort_by_key(rank);
    assert_eq!(rows, sorted, "{table}");
    assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
    assert!(
        table.contains("10 containers: 4 leaking (1 gone), 1 undersized"),
        "{table}"
    );
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");

    let tls = audit(&format!("https://{}", backend.query), end, &[]);
    assert!(errors(&tls).contains("try http://"), "{}", errors(&tls));
    let only = audit(&backend.query, end, &["--namespace", "odd.ns"]);
    assert_eq!(only.status.code(), Some(0), "{}", errors(&only));
    let selected = audit(
        &backend.query,
        end,
        &["--json", "--selector", "{pod=~\"web-.*|cart-.*\",image!=\"\"}"],
    );
    assert_eq!(containers(&selected).len(), 2, "{}", errors(&selected));
    let none = audit(&backend.query, end, &["--namespace", "nowhere"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(errors(&none).contains("no container that matches"), "{}", errors(&none));
}

#[test]
fn containers_of_a_prometheus_are_reported() {
    need!(DebianPrometheus);
    let (backend, _) = prometheus();
    let since = format!("{}h", HOURS + 1);
    let report = |arguments: &[&str]| {
        let url = format!("http://{}", backend.query);
        let from = ["--from", &url, "--since", &since, "--md"];
        agent::command(&["report"]).args(arguments).args(from).output().unwrap()
    };
    let one = report(&["shop/cart-0"]);
    let page = String::from_utf8(one.stdout.clone()).unwrap();
    for part in ["## shop/cart-0/cart", "**a leak is ", "### Runs", "kernel\\_oom", "┤"] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}\n{}", errors(&one));
    }
    let all = report(&["--all"]);
    let page = String::from_utf8(all.stdout.clone()).unwrap();
    assert!(
        page.contains("# Memory of 10 containers"),
        "{page:.3000}\n{}",
        errors(&all)
    );
    let unknown = report(&["shop/crat-0"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains("shop/cart-0/cart"), "{}", errors(&unknown));
}

#[test]
fn a_thanos_is_judged_alike() {
    need!(Full, DebianPrometheus, Counterpart(&THANOS));
    let end = now();
    let text = text(&cluster(), end, 1);
    let thanos = Backend::thanos(&debian_prometheus().unwrap(), &THANOS.program("thanos").unwrap(), &text).unwrap();
    // It learns of its stores by and by.
    let deadline = Instant::now() + agent::DEADLINE;
    let lists = |backend: &Backend| backend.ask("/api/v1/label/__name__/values").unwrap()["data"].to_string();
    while !lists(&thanos[0]).contains("container_memory_rss") {
        assert!(Instant::now() < deadline, "{}", thanos[0].log());
        thread::sleep(Duration::from_millis(200));
    }
    said_as_replayed(&thanos[0], end);
}

#[test]
fn a_victoria_metrics_is_judged_alike() {
    need!(DebianVictoriaMetrics);
    let end = now();
    let text = text(&cluster(), end, 1_000);
    let backend = Backend::victoria_metrics(&debian_victoria_metrics().unwrap(), &text, &[]).unwrap();
    said_as_replayed(&backend, end);

    // One that answers, and even lists, no more series at a time than one container has.
    let limits = ["-search.maxSeries=12", "-search.maxUniqueTimeseries=12"];
    let limited = Backend::victoria_metrics(&debian_victoria_metrics().unwrap(), &text, &limits).unwrap();
    let (whole, parts) = (
        audit(&backend.query, end, &["--json"]),
        audit(&limited.query, end, &["--json"]),
    );
    assert_eq!(containers(&parts), containers(&whole), "{}", errors(&parts));
}
