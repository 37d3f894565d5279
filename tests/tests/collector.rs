//! OTLP as the real Collector takes it: sends findings through the agent's exporter, compares what the Collector wrote
//! with what was to be said, field by field.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{collections::BTreeMap, time::Duration};

use observer::{agent::LaneView, config, export::otlp::Otlp};
use observer_core::{Finding, telemetry};
use observer_tests::{
    collector::Collector,
    findings::{finding, killed, misfit},
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

/// Whether its records wait for their receiver; metrics are sent again at the next interval.
fn is_spooled(lane: &LaneView) -> bool {
    !lane.signal.ends_with("metrics")
}

fn publish(otlp: &Otlp) {
    findings().iter().for_each(|finding| otlp.publish(finding));
    otlp.publish_run(&killed("cart", 1, "1.0"));
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
        telemetry::Value::List(list) => {
            json!({"arrayValue": {"values": list.into_iter().map(as_json).collect::<Vec<_>>()}})
        }
    }
}

fn resource_of(finding: &Finding) -> BTreeMap<String, Value> {
    let subject = finding.subject.as_ref().unwrap();
    let pairs = subject.resource.iter();
    pairs
        .map(|(name, value)| (name.clone(), json!({"stringValue": value})))
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
        assert_eq!(attributes(resource), resource_of(finding), "{case}");
        assert_eq!(record["eventName"], event.name, "{case}");
        assert_eq!(record["severityText"], event.severity.name(), "{case}");
        assert_eq!(record["body"], json!({"stringValue": event.body}), "{case}");
        let expected: BTreeMap<String, Value> = event
            .attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), as_json(value)))
            .collect();
        assert_eq!(attributes(record), expected, "{case}: {}", event.name);
        assert!(
            record["observedTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 0,
            "{case}"
        );
    }
}

/// One span for the run that ended.
fn assert_spans(requests: &[Value], case: &str) {
    let written = records(requests, "resourceSpans", "scopeSpans", "spans");
    assert_eq!(written.len(), 1, "{case}: {requests:#?}");
    let (resource, span) = written[0];
    assert_eq!(
        attributes(resource)["service.name"],
        json!({"stringValue": "cart"}),
        "{case}"
    );
    let nanos = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(
        nanos("endTimeUnixNano") - nanos("startTimeUnixNano"),
        8_000_000_000,
        "{case}"
    );
    assert_eq!(span["status"]["code"], 2, "{case}: the run died");
    assert_eq!(span["traceId"].as_str().unwrap().len(), 32, "{case}");
    assert_eq!(span["spanId"].as_str().unwrap().len(), 16, "{case}");
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
                    .lanes()
                    .iter()
                    .any(|lane| is_spooled(lane) && lane.failing.is_none())
                    && Instant::now() < deadline
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                for lane in stranger.lanes().iter().filter(|lane| is_spooled(lane)) {
                    // A handshake that failed is no verdict on the records: they wait.
                    assert!(lane.failing.is_some(), "{case}: {} did not fail", lane.name);
                    assert_eq!(
                        (lane.refused, lane.delivered),
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
            otlp.finish(Instant::now() + Duration::from_mins(1)).await;
            let (logs, traces) = collector.stop().unwrap();
            assert_logs(&logs, &case);
            assert_spans(&traces, &case);
        }
    }
}
