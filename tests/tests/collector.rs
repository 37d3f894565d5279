//! OTLP as the real Collector takes it: sends findings through the agent's exporter, compares what the Collector wrote
//! with what was to be said, field by field.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{collections::BTreeMap, time::Duration};

use observer::{
    config,
    export::{
        line,
        metrics::{self, Group, Kind, Metric, Point, agent_resource},
        otlp::Otlp,
    },
    snapshot::{AgentView, ExporterView},
};
use observer_core::{Finding, identity::Resource, telemetry};
use observer_tests::{
    agent::DEADLINE,
    collector::Collector,
    findings::{EPOCH, finding, killed, misfit, subject},
    need,
    otlp::Tls,
    tls::certificates,
};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Findings of two workloads.
fn findings() -> Vec<Finding> {
    let mut odd = finding("cart", 1);
    odd.event = misfit("ünïcode, \"quotes\" and\nlines");
    vec![odd, finding("shop", 2), finding("cart", 10)]
}

/// When the points were taken.
const TAKEN: u64 = EPOCH + 77;
/// Since when they count.
const SINCE: u64 = EPOCH + 11;

/// A run's levels and a service's counts, of every kind of metric.
fn groups() -> Vec<Group> {
    let point = |name, unit, kind, attributes: &[(&'static str, &str)], value| Point {
        metric: Metric { name, unit, kind },
        attributes: attributes
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    };
    let group = |service: &str, points| Group {
        resource: subject(service).resource,
        since: SINCE,
        points,
    };
    let cause = "observer.exit.cause";
    vec![
        group(
            "cart",
            vec![
                point("container.memory.usage", "By", Kind::UpDown, &[], 123_456_789.0),
                point("observer.memory.slope", "By/h", Kind::Gauge, &[], -1.5),
                point(
                    "observer.memory.ceiling",
                    "By",
                    Kind::Gauge,
                    &[("observer.memory.ceiling.kind", "v8_heap")],
                    1e9,
                ),
            ],
        ),
        group(
            "shop",
            vec![
                point(
                    "observer.container.exits",
                    "{run}",
                    Kind::Counter,
                    &[(cause, "kernel_oom")],
                    3.0,
                ),
                point(
                    "observer.container.exits",
                    "{run}",
                    Kind::Counter,
                    &[(cause, "crash")],
                    1.0,
                ),
            ],
        ),
    ]
}

/// What the agent tells of itself.
fn own() -> Vec<Point> {
    metrics::own(&AgentView {
        hooks: vec![("exec".into(), "tp_btf".into())],
        export: vec![ExporterView {
            signal: "logs".into(),
            delivered: 7,
            ..ExporterView::default()
        }],
        memory: 12_345_678,
        cpu_s: 1.25,
        ..AgentView::default()
    })
}

/// Whether its records wait for their receiver; metrics are sent again at the next interval.
fn is_spooled(exporter: &ExporterView) -> bool {
    !exporter.signal.ends_with("metrics")
}

fn publish(otlp: &Otlp) {
    findings().iter().for_each(|finding| otlp.publish(finding));
    otlp.publish_run(&killed("cart", 1, "1.0"));
    otlp.send_metrics(groups(), TAKEN);
    otlp.set_own_metrics(own());
}

/// Waits until the points, which are not kept for their receiver, have got there.
async fn metrics_sent(otlp: &Otlp) {
    let deadline = Instant::now() + DEADLINE;
    while !otlp
        .exporters()
        .iter()
        .any(|exporter| exporter.signal == "metrics" && exporter.delivered == 1)
    {
        assert!(Instant::now() < deadline, "{:?}", otlp.exporters());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn exporter(flags: &[(&'static str, String)]) -> Otlp {
    let flags: BTreeMap<&'static str, String> = flags.iter().cloned().collect();
    Otlp::start(&config::load(&flags, None).unwrap().config).unwrap()
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of[name].as_array().into_iter().flatten()
}

/// Every record under `resources`, with the Resource it stands under.
fn records<'a>(requests: &'a [Value], resources: &str, scopes: &str, records: &str) -> Vec<(&'a Value, &'a Value)> {
    let mut found = Vec::new();
    for group in requests.iter().flat_map(|request| list(request, resources)) {
        for scope in list(group, scopes) {
            assert_eq!(scope["scope"]["name"], "observer");
            found.extend(list(scope, records).map(|record| (&group["resource"], record)));
        }
    }
    found
}

fn attributes(of: &Value) -> BTreeMap<String, Value> {
    list(of, "attributes")
        .map(|attribute| {
            let value = &attribute["value"];
            // JSON has one kind of number: 8 and 8.0 are the same double.
            let double = value["doubleValue"].as_f64();
            let value = double.map_or_else(|| value.clone(), |number| json!({"doubleValue": number}));
            (attribute["key"].as_str().unwrap().to_owned(), value)
        })
        .collect()
}

/// A value as OTLP's JSON has it: 64-bit integers are strings.
fn as_json(value: telemetry::Value) -> Value {
    match value {
        telemetry::Value::Text(text) => json!({"stringValue": text}),
        telemetry::Value::Int(number) => json!({"intValue": number.to_string()}),
        telemetry::Value::Float(number) => json!({"doubleValue": number}),
        telemetry::Value::Bool(yes) => json!({"boolValue": yes}),
        telemetry::Value::Time(at) => json!({"stringValue": line::iso_8601(at)}),
        telemetry::Value::List(list) => {
            json!({"arrayValue": {"values": list.into_iter().map(as_json).collect::<Value>()}})
        }
    }
}

/// Text attributes as they are to be written.
fn texts<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Value> {
    let text = |(name, value): (&str, &str)| (name.to_owned(), json!({"stringValue": value}));
    pairs.into_iter().map(text).collect()
}

fn resource_of(resource: &Resource) -> BTreeMap<String, Value> {
    texts(resource.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn typed(of: Vec<(&'static str, telemetry::Value)>) -> BTreeMap<String, Value> {
    of.into_iter()
        .map(|(name, value)| (name.to_owned(), as_json(value)))
        .collect()
}

/// One log record per finding, every field as it was to be said.
fn assert_logs(requests: &[Value], case: &str) {
    let written = records(requests, "resourceLogs", "scopeLogs", "logRecords");
    let findings = findings();
    assert_eq!(written.len(), findings.len(), "{case}: {requests:#?}");
    for finding in &findings {
        let event = telemetry::event(finding);
        let time = finding.wall.0.to_string();
        let of_time = written
            .iter()
            .find(|(_, record)| record["timeUnixNano"] == time.as_str());
        let (resource, record) = of_time.unwrap_or_else(|| panic!("{case}: no record of {time}"));
        let expected = resource_of(&finding.subject.as_ref().unwrap().resource);
        assert_eq!(attributes(resource), expected, "{case}");
        assert_eq!(record["eventName"], event.name, "{case}");
        assert_eq!(record["severityText"], event.severity.name(), "{case}");
        assert_eq!(record["body"], json!({"stringValue": event.body}), "{case}");
        assert_eq!(attributes(record), typed(event.attributes), "{case}: {}", event.name);
        assert!(
            record["observedTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 0,
            "{case}"
        );
    }
}

/// One span for the run that ended, every field as it was to be said.
fn assert_spans(requests: &[Value], case: &str) {
    let written = records(requests, "resourceSpans", "scopeSpans", "spans");
    assert_eq!(written.len(), 1, "{case}: {requests:#?}");
    let (resource, span) = written[0];
    let run = killed("cart", 1, "1.0");
    assert_eq!(attributes(resource), resource_of(&run.subject.resource), "{case}");
    assert_eq!(span["name"], "api", "{case}");
    assert_eq!(span["kind"], 1, "{case}: internal");
    assert_eq!(span["startTimeUnixNano"], run.started.0.to_string(), "{case}");
    assert_eq!(span["endTimeUnixNano"], run.ended.0.to_string(), "{case}");
    let status = json!({"code": 2, "message": "kernel_oom: the kernel marked it"});
    assert_eq!(span["status"], status, "{case}: the run died");
    assert_eq!(attributes(span), typed(telemetry::run(&run)), "{case}");
    assert_eq!(span["traceId"].as_str().unwrap().len(), 32, "{case}");
    assert_eq!(span["spanId"].as_str().unwrap().len(), 16, "{case}");
    let link = &span["links"][0];
    assert_eq!(link["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736", "{case}");
    assert_eq!(
        (&link["spanId"], &link["flags"]),
        (&json!("00f067aa0ba902b7"), &json!(1)),
        "{case}"
    );
}

/// A number, as Go writes it into JSON: an integer's text where it has no fraction, absent where it is 0.
fn number(of: &Value) -> f64 {
    let text = || of["asInt"].as_str().and_then(|text| text.parse().ok());
    of["asDouble"].as_f64().or_else(text).unwrap_or(0.0)
}

/// Every point, of the observed and of the agent itself, every field as it was to be said.
fn assert_metrics(requests: &[Value], host: &str, case: &str) {
    let written = records(requests, "resourceMetrics", "scopeMetrics", "metrics");
    let agent = Group {
        resource: agent_resource(host),
        since: 0,
        points: own(),
    };
    let mut expected = groups();
    expected.push(agent);
    let mut told = 0;
    for group in &expected {
        for point in &group.points {
            let resource = resource_of(&group.resource);
            let mut found = written
                .iter()
                .filter(|(of, metric)| metric["name"] == point.metric.name && attributes(of) == resource);
            // The agent's own are read again at every interval and at the end.
            let (_, metric) = found
                .next_back()
                .unwrap_or_else(|| panic!("{case}: no {point:?}: {requests:#?}"));
            assert_eq!(
                metric["unit"].as_str().unwrap_or_default(),
                point.metric.unit,
                "{case}: {metric}"
            );
            let data = match point.metric.kind {
                Kind::Gauge => &metric["gauge"],
                Kind::UpDown | Kind::Counter => &metric["sum"],
            };
            if point.metric.kind != Kind::Gauge {
                assert_eq!(data["aggregationTemporality"], 2, "{case}: cumulative: {metric}");
                let monotonic = data["isMonotonic"].as_bool().unwrap_or(false);
                assert_eq!(monotonic, point.metric.kind == Kind::Counter, "{case}: {metric}");
            }
            let wanted = texts(point.attributes.iter().map(|(name, value)| (*name, value.as_str())));
            let mut same = list(data, "dataPoints").filter(|data| attributes(data) == wanted);
            let data = same
                .next()
                .unwrap_or_else(|| panic!("{case}: no {point:?} in {metric}"));
            assert!(same.next().is_none(), "{case}: {point:?} twice");
            assert!(
                (number(data) - point.value).abs() < f64::EPSILON,
                "{case}: {point:?} became {data}"
            );
            if group.since == SINCE {
                assert_eq!(data["timeUnixNano"], TAKEN.to_string(), "{case}: {data}");
                let since = data["startTimeUnixNano"].as_str().unwrap_or("0");
                let expected = if point.metric.kind == Kind::Gauge { 0 } else { SINCE };
                assert_eq!(since, expected.to_string(), "{case}: {data}");
                told += 1;
            }
        }
    }
    let of_services = written
        .iter()
        .filter(|(_, metric)| !metric["name"].as_str().unwrap().contains(".agent."));
    let of_services = of_services.filter(|(of, _)| attributes(of)["service.name"]["stringValue"] != "observer");
    let points = |metric: &Value| {
        list(&metric["gauge"], "dataPoints")
            .chain(list(&metric["sum"], "dataPoints"))
            .count()
    };
    assert_eq!(
        of_services.map(|(_, metric)| points(metric)).sum::<usize>(),
        told,
        "{case}: more than was sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_takes_every_field_over_both_protocols_with_and_without_tls() {
    need!(Counterpart(&observer_tests::counterpart::COLLECTOR), Program("openssl"));
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path()).unwrap();
    let file = |name: &str| directory.path().join(name);
    let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("ca.pem"));
    for (mode, clients) in [
        ("plain", None),
        ("TLS", None),
        ("mutual TLS", Some(authority.as_path())),
    ] {
        for protocol in ["grpc", "http/protobuf"] {
            let case = format!("{protocol}, {mode}");
            let tls = (mode != "plain").then_some(Tls {
                certificate: &certificate,
                key: &key,
                clients,
            });
            let collector = Collector::start(tls).unwrap();
            let scheme = if mode == "plain" { "http" } else { "https" };
            let port = if protocol == "grpc" {
                collector.grpc
            } else {
                collector.http
            };
            let mut flags = vec![
                ("otlp-endpoint", format!("{scheme}://localhost:{port}")),
                ("otlp-protocol", protocol.to_owned()),
                ("otlp-compression", "gzip".to_owned()),
            ];
            if mode != "plain" {
                flags.push(("otlp-certificate", authority.display().to_string()));
            }
            if mode == "mutual TLS" {
                // Without a client's certificate nothing gets through: what is written below came with one.
                let stranger = exporter(&flags);
                publish(&stranger);
                let deadline = Instant::now() + Duration::from_secs(30);
                while stranger
                    .exporters()
                    .iter()
                    .any(|exporter| is_spooled(exporter) && exporter.failing.is_none())
                    && Instant::now() < deadline
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                for exporter in stranger.exporters().iter().filter(|exporter| is_spooled(exporter)) {
                    // A handshake that failed is no verdict on the records: they wait.
                    assert!(exporter.failing.is_some(), "{case}: {} did not fail", exporter.name);
                    assert_eq!(
                        (exporter.refused, exporter.delivered),
                        (0, 0),
                        "{case}: dropped, or got through"
                    );
                }
                stranger.finish(Instant::now() + Duration::from_secs(2)).await;
                flags.push(("otlp-client-certificate", file("client.pem").display().to_string()));
                flags.push(("otlp-client-key", file("client.key").display().to_string()));
            }
            let otlp = exporter(&flags);
            publish(&otlp);
            metrics_sent(&otlp).await;
            otlp.finish(Instant::now() + Duration::from_mins(1)).await;
            let written = collector.stop().unwrap();
            assert_logs(&written.logs, &case);
            assert_spans(&written.traces, &case);
            let config = config::load(&BTreeMap::new(), None).unwrap().config;
            assert_metrics(&written.metrics, &observer::host::name(&config), &case);
        }
    }
}
