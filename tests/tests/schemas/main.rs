//! docs/schemas: each schema is what the code says, and real outputs are valid by it.
//!
//! `UPDATE_EXPECT=1 cargo test -p observer-tests --test schemas` writes them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

mod form;
mod memory;
mod written;

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use expect_test::expect_file;
use observer::{
    config::{self, key::KEYS},
    question::HistoryView,
    snapshot::Snapshot,
};
use observer_core::engine::view::WorkloadView;
use observer_tests::{
    agent::Agent,
    app::App,
    bundle::Spec,
    container::{Container, Restart},
    need, places,
};
use serde_json::Value;

/// The service whose container is looked at: other tests, and other services, run on the same host.
const SERVICE: &str = "of-the-schemas";

/// Every schema by the name of its file.
fn all() -> BTreeMap<&'static str, Value> {
    let workloads = form::schema::<Vec<WorkloadView>>("Workloads", "The answer of `observer ps --json`.");
    let history = form::schema::<HistoryView>("History", "The answer of `observer history --json`.");
    let status = form::schema::<Snapshot>("Status", "The answer of `observer status --json`.");
    BTreeMap::from([
        ("audit", written::audit()),
        ("doctor", written::doctor()),
        ("event", written::event()),
        ("heap", written::heap()),
        ("history", history),
        ("memory", memory::memory()),
        ("observer.toml", written::settings()),
        ("ps", workloads),
        ("status", status),
        ("watch", written::watch()),
    ])
}

fn assert_valid(schema: &str, value: &Value) {
    let validator = jsonschema::draft202012::new(&all()[schema]).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{schema}: {}\n{value:#}", problems.join("\n"));
}

#[test]
fn the_published_schemas_are_what_the_code_says() {
    let directory = places::workspace().join("docs/schemas");
    let mut files: Vec<String> = Vec::new();
    for (name, schema) in all() {
        jsonschema::meta::validate(&schema).unwrap();
        let file = format!("{name}.schema.json");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        expect_file![directory.join(&file)].assert_eq(&text);
        files.push(file);
    }
    let mut present: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file != "README.md")
        .collect();
    present.sort();
    files.sort();
    assert_eq!(present, files);
}

fn observer(arguments: &[&str]) -> String {
    let output = Command::new(places::agent()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Findings of real programs, judged now, and those that real agents sent.
#[test]
fn findings_are_valid() {
    let validator = jsonschema::draft202012::new(&all()["event"]).unwrap();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut check = |finding: Value| {
        let problems: Vec<String> = validator.iter_errors(&finding).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{}\n{finding:#}", problems.join("\n"));
        *kinds.entry(finding["event"].as_str().unwrap().to_owned()).or_default() += 1;
    };
    let recordings = fs::read_dir(places::workspace().join("tests/recordings")).unwrap();
    let recordings = recordings.map(|entry| entry.unwrap().path());
    for recording in recordings.filter(|path| path.extension().is_some_and(|extension| extension == "gz")) {
        let printed = observer(&["replay", recording.to_str().unwrap(), "--output", "json"]);
        printed
            .lines()
            .for_each(|line| check(serde_json::from_str(line).unwrap()));
    }
    let text = fs::read_to_string(places::workspace().join("docs/events/records.json")).unwrap();
    let sent: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    sent.into_values().for_each(|mut kept| check(kept["record"].take()));
    assert!(kinds.len() >= 16, "{kinds:?}");
}

#[test]
fn what_doctor_says_is_valid() {
    // Where something is missing it says so with 3.
    let output = Command::new(places::agent())
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    assert_valid("doctor", &serde_json::from_slice(&output.stdout).unwrap());
}

/// Of a program that leaks, by rounds.
#[test]
fn what_a_watch_writes_is_valid() {
    need!(Root, Node);
    let program = "class Session { data = new Array(9000).fill(1.5) } const kept = []; let round = 0; setInterval(() => { for (let \
                   n = 0; n < 9; n++) kept.push(new Session()); console.log('observer: round'); if (++round > 40) process.exit() }, 50)";
    let node = places::node().unwrap();
    let output = Command::new(places::agent())
        .args(["watch", "--rounds", "30", "--format", "json", "--"])
        .arg(node)
        .args(["-e", program])
        .output()
        .unwrap();
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid("watch", &outcome);
    assert_eq!(outcome["processes"].as_array().map(Vec::len), Some(1), "{outcome}");
}

/// Of a container that has been killed once and runs again.
#[test]
fn what_a_running_agent_answers_is_valid() {
    need!(Root, Bpf, Runc, Node);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| -> String { directory.path().join(name).to_str().unwrap().to_owned() };
    let (socket, store): (String, String) = (path("status.sock"), path("store"));
    let mut agent = Agent::start(&["--status-socket", &socket, "--store", &store]).unwrap();
    let restart = Restart::After(Duration::from_millis(300));
    let container = Container::ready(
        Spec::fixture("valid", Some(512 << 20), "end.js", &[]).with("OTEL_SERVICE_NAME", SERVICE),
        restart,
    )
    .unwrap();
    let first = agent.sampled(&container.cgroup(), 0).unwrap();
    container.tell("exit 3").unwrap();
    agent
        .wait_finding("the restart", |finding| {
            let ours = finding["resource"]["service.name"] == SERVICE;
            (ours && finding["event"] == "observer.container.restart").then_some(())
        })
        .unwrap();
    agent.sampled(&container.cgroup(), first).unwrap();
    let ask = |command: &[&str]| -> Value {
        let arguments = [command, &["--status-socket", &socket, "--json"]].concat();
        serde_json::from_str(&observer(&arguments)).unwrap()
    };
    let (status, workloads) = (ask(&["status"]), ask(&["ps"]));
    let history = ask(&["history", SERVICE]);
    assert!(!history["records"].as_array().unwrap().is_empty(), "{history:#}");
    assert_valid("status", &status);
    assert_valid("ps", &workloads);
    assert_valid("history", &history);
}

/// A reading, a difference and holders of a program that leaks.
#[test]
fn heaps_are_valid() {
    need!(Root, Node);
    let mut app = App::fixture("leak.js", &["--mb", "20", "--wait", "no"]).unwrap();
    app.ready().unwrap();
    let pid = app.pid().to_string();
    for more in [["--top", "5"].as_slice(), &["--diff", "2s"], &["--retainers", "Array"]] {
        let arguments = [["heap", &pid, "--json"].as_slice(), more].concat();
        assert_valid("heap", &serde_json::from_str(&observer(&arguments)).unwrap());
    }
}

/// One reading of a process's memory, and two.
#[test]
fn memory_is_valid() {
    need!(Root, Node);
    let app = App::fixture("leak.js", &["--mb", "20", "--wait", "no"]).unwrap();
    let pid = app.pid().to_string();
    let classes = ["--classes", "--diff", "1s"];
    for more in [[].as_slice(), &["--diff", "1s"], &classes[..1], &classes] {
        let arguments = [["memory", &pid, "--json"].as_slice(), more].concat();
        assert_valid("memory", &serde_json::from_str(&observer(&arguments)).unwrap());
    }
}

/// A file that the schema allows is read, and what the schema refuses is refused.
#[test]
fn settings_are_valid_where_they_can_be_used() {
    let validator = jsonschema::draft202012::new(&all()["observer.toml"]).unwrap();
    let good = [
        ("sample-interval", "\"1s\""),
        ("near-ceiling", "0.9"),
        ("max-processes", "100"),
        ("history-max", "\"32MiB\""),
        ("hooks", "\"tracepoint\""),
        ("service-labels", "true"),
        ("otlp-endpoint", "\"http://collector:4318\""),
        ("otlp-protocol", "\"http/protobuf\""),
    ];
    let bad = [
        ("sample-interval", "5"),
        ("history-max", "\"32 MB\""),
        ("hooks", "\"best\""),
        ("max-processes", "-1"),
        ("colour", "true"),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (usable, settings) in [(true, good.as_slice()), (false, bad.as_slice())] {
        for (key, value) in settings {
            let line = format!("{key} = {value}\n");
            let file: PathBuf = directory.path().join("observer.toml");
            fs::write(&file, &line).unwrap();
            let number = value.parse::<f64>().ok().map(Value::from);
            let json = match value.parse::<u64>() {
                Ok(whole) => Value::from(whole),
                Err(_) => number.unwrap_or_else(|| serde_json::from_str(value).unwrap()),
            };
            let json = Value::Object([((*key).to_owned(), json)].into_iter().collect());
            assert_eq!(validator.is_valid(&json), usable, "{line}");
            assert_eq!(config::load(&BTreeMap::new(), Some(&file)).is_ok(), usable, "{line}");
        }
    }
    // Each setting has a form.
    let properties = all()["observer.toml"]["properties"].as_object().unwrap().len();
    assert_eq!(properties, KEYS.len());
}
