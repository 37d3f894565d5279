//! The dashboards: what the typed builder makes of their source is what is committed, Grafana's published schema knows all of it,
//! the mixin renders the same, and every query of every panel gives data on a real Prometheus that evaluates the shipped rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use observer::{
    export::{
        metrics::{self, Group, agent_resource},
        prometheus,
    },
    snapshot::{AgentView, ExporterView, StoreView},
};
use observer_core::input::Lost;
use observer_tests::{
    agent::DEADLINE,
    backend::{Backend, debian_prometheus},
    counterpart::{GRAFANA, JSONNET},
    fleet::{
        dashboards::{DASHBOARDS, directory, encoded, expressions},
        server::shipped,
    },
    need, places,
};
use serde_json::{Value, json};

#[test]
fn what_is_committed_is_what_the_builder_makes() {
    need!(GrafanaBuilder);
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("dashboards.py");
    fs::copy(directory().join("dashboards.py"), &source).unwrap();
    let output = Command::new(places::python()).arg(&source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in DASHBOARDS {
        let (made, committed) = (fs::read(scratch.path().join(name)), fs::read(directory().join(name)));
        assert!(
            made.unwrap() == committed.unwrap(),
            "{name}: run deploy/grafana/dashboards.py"
        );
    }
}

/// Every field is one of Grafana's, with a value it allows; one that is not is named.
#[test]
fn grafanas_schema_knows_every_field() {
    need!(Counterpart(&GRAFANA));
    let check = |paths: &[PathBuf]| {
        let program = GRAFANA.program("grafana-schema").unwrap();
        let output = Command::new(program).args(paths).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let paths = DASHBOARDS.map(|name| directory().join(name));
    let (valid, said) = check(&paths);
    assert!(valid, "{said}");
    let scratch = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(&paths[0]).unwrap();
    for (right, wrong) in [
        ("\"unit\"", "\"units\""),
        ("\"legendFormat\"", "\"legend\""),
        ("\"fillOpacity\": 5", "\"fillOpacity\": \"5\""),
    ] {
        let path = scratch.path().join("wrong.json");
        fs::write(&path, text.replace(right, wrong)).unwrap();
        assert!(text.contains(right), "{right}");
        let (valid, said) = check(&[path]);
        assert!(!valid && said.contains("panels["), "{wrong}: {said}");
    }
}

#[test]
fn the_mixin_renders_what_is_shipped() {
    need!(Counterpart(&JSONNET));
    let mixin = places::workspace().join("deploy/mixin/mixin.libsonnet");
    let all = format!(
        "local mixin = import '{}'; {{ alerts: mixin.prometheusAlerts, rules: mixin.prometheusRules, dashboards: mixin.grafanaDashboards }}",
        mixin.display()
    );
    let program = JSONNET.program("jsonnet").unwrap();
    let output = Command::new(program).args(["--exec", &all]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rendered: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules = |name: &str| -> Value { serde_norway::from_slice(&fs::read(shipped(name)).unwrap()).unwrap() };
    let dashboards = DASHBOARDS.map(|name| -> (String, Value) {
        let text = fs::read(directory().join(name)).unwrap();
        (format!("observer-{name}"), serde_json::from_slice(&text).unwrap())
    });
    assert_eq!(rendered["alerts"], rules("observer.alerts.yaml"));
    assert_eq!(rendered["rules"], rules("observer.rules.yaml"));
    assert_eq!(
        rendered["dashboards"],
        json!(dashboards.into_iter().collect::<serde_json::Map<_, _>>())
    );
}

/// What agents tell of a service whose second version of three leaks, side by side; and of themselves. Counters rise by `turn`.
fn exposition(turn: u64) -> String {
    let own = metrics::own(&AgentView {
        hooks: vec![("exec".into(), "tp_btf".into())],
        export: vec![ExporterView {
            signal: "logs".into(),
            delivered: turn,
            ..ExporterView::default()
        }],
        lost: vec![Lost {
            stage: "ring".into(),
            kind: "exec".into(),
            count: turn,
        }],
        inputs: turn,
        cpu_s: turn as f64,
        store: Some(StoreView::default()),
        ..AgentView::default()
    });
    let mut text = prometheus::text(&[Group {
        resource: agent_resource("node-1"),
        since: 0,
        points: own,
    }]);
    for (version, first_seen, slope) in [("1.41", 1_000.0, 1e3), ("1.42", 2_000.0, 5e6), ("1.43", 3_000.0, 1e3)] {
        let of = |more: &str| {
            format!(
                "job=\"shop/checkout\",observer_workload=\"shop/Deployment/checkout/api\",service_version=\"{version}\"{more}"
            )
        };
        let mut put =
            |name: &str, labels: &str, value: f64| writeln!(text, "{name}{{{}}} {value}", of(labels)).unwrap();
        put(
            "observer_version_first_seen_seconds",
            ",instance=\"node-1\"",
            first_seen,
        );
        put("observer_restarts_total", ",instance=\"node-1\"", turn as f64);
        let cause = ",instance=\"node-1\",observer_exit_cause=\"kernel_oom\"";
        put("observer_container_exits_total", cause, turn as f64);
        for replica in 0..3 {
            let instance = format!(",instance=\"{version}-{replica}\"");
            for (name, value) in [
                ("observer_memory_level_bytes", 2e8),
                ("observer_memory_floor_bytes", 2e8),
                ("observer_memory_slope_bytes_per_hour", slope),
                ("observer_memory_slope_standard_error_bytes_per_hour", 2e5),
                ("observer_memory_slope_late_bytes_per_hour", slope),
                ("observer_memory_slope_span_seconds", 1e5),
                ("observer_memory_time_to_ceiling_seconds", 5e4),
                ("observer_leak_state", 0.0),
                ("container_uptime_seconds", 1e5),
            ] {
                put(name, &instance, value);
            }
            put(
                "observer_memory_ceiling_bytes",
                &format!("{instance},observer_memory_ceiling_kind=\"cgroup\""),
                5e8,
            );
            put(
                "observer_memory_growth_bytes",
                &format!("{instance},observer_memory_growth_where=\"v8_heap\""),
                1e8,
            );
            put(
                "observer_heap_culprit_grown_bytes",
                &format!("{instance},observer_heap_culprit=\"Session\""),
                1e8,
            );
        }
    }
    text
}

/// Answers every request with the next exposition.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (turn, stream) in (1..).zip(listener.incoming()) {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4_096];
            // A scraper that breaks off is the test's to notice.
            let _ = stream.read(&mut request);
            let body = exposition(turn);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn every_query_gives_data_on_a_real_prometheus() {
    need!(DebianPrometheus);
    let rules = places::workspace().join("deploy/prometheus/observer.rules.yaml");
    let server = Backend::prometheus_with_rules(&debian_prometheus().unwrap(), &serve(), &[rules]).unwrap();
    let deadline = Instant::now() + DEADLINE;
    let mut left = expressions().unwrap();
    assert!(left.len() > 30, "{left:#?}");
    loop {
        left.retain(|(_, expression)| {
            let query = encoded(expression);
            let answer = server.ask(&format!("/api/v1/query?query={query}")).unwrap();
            answer["data"]["result"].as_array().unwrap().is_empty()
        });
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "no data: {left:#?}\n{}", server.log());
        // Rules are evaluated each second; nothing announces the next result.
        thread::sleep(Duration::from_millis(500));
    }
}
