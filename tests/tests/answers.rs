//! What receivers answer: slow, throttled, partly refused, and what the agent makes of it over both protocols.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use observer::{
    config,
    export::{
        metrics::{self, Group, Kind, Metric, Point},
        otlp::Otlp,
    },
    snapshot::{AgentView, ExporterView},
};
use observer_tests::{
    agent::DEADLINE,
    findings::{EPOCH, finding, subject},
    need,
    otlp::Receiver,
};
use serde_json::{Value, json};

fn exporter(receiver: &Receiver, protocol: &str, more: &[(&'static str, &str)]) -> Otlp {
    let port = if protocol == "grpc" {
        receiver.grpc
    } else {
        receiver.http
    };
    let mut flags = BTreeMap::from([
        ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
        ("otlp-protocol", protocol.to_owned()),
    ]);
    flags.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Otlp::start(&config::load(&flags, None).unwrap().config).unwrap()
}

fn view(otlp: &Otlp, signal: &str) -> ExporterView {
    otlp.exporters()
        .into_iter()
        .find(|exporter| exporter.signal == signal)
        .unwrap()
}

/// Waits until an exporter is in a wanted state.
async fn until(otlp: &Otlp, signal: &str, wanted: impl Fn(&ExporterView) -> bool) -> ExporterView {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let exporter = view(otlp, signal);
        if wanted(&exporter) {
            return exporter;
        }
        assert!(Instant::now() < deadline, "{exporter:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

/// Ids of the records of a request.
fn ids(request: &Value) -> Vec<String> {
    let groups = request["message"]["resourceLogs"].as_array().unwrap().iter();
    let records = groups.flat_map(|group| group["scopeLogs"][0]["logRecords"].as_array().unwrap());
    let id = |record: &Value| {
        let attributes = record["attributes"].as_array().unwrap();
        let id = attributes.iter().find(|a| a["key"] == "observer.finding.id").unwrap();
        id["value"]["stringValue"].as_str().unwrap().to_owned()
    };
    records.map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_is_waited_for_and_what_it_took_is_not_sent_again() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start(&json!([{"stall": 2}, {"stall": 2}]), None).unwrap();
        let otlp = exporter(&receiver, protocol, &[]);
        let mut sent = BTreeSet::new();
        for nth in 0..3 {
            otlp.publish(&finding("cart", nth));
            // Each in a request of its own: the one before is on its way.
            sent.extend(ids(&receiver.next().unwrap()));
        }
        otlp.publish(&finding("cart", 3));
        sent.extend(ids(&receiver.next().unwrap()));
        let exporter = until(&otlp, "logs", |exporter| exporter.waiting == 0).await;
        assert_eq!(
            (sent.len(), exporter.delivered, exporter.retries, exporter.dropped),
            (4, 4, 0, 0),
            "{protocol}"
        );
        otlp.finish(soon()).await;
        assert!(receiver.rest().is_empty(), "{protocol}: sent again");
    }
}

/// Slower than the longest time for a request: sent again, under the same ids, so that a receiver can drop what it has.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_took_too_long_for_comes_again_under_the_same_ids() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start(&json!([{"stall": 4}]), None).unwrap();
        let otlp = exporter(&receiver, protocol, &[("otlp-timeout", "2s")]);
        otlp.publish(&finding("cart", 1));
        let first = ids(&receiver.next().unwrap());
        let failing = until(&otlp, "logs", |exporter| exporter.failing.is_some()).await;
        assert_eq!((failing.waiting, failing.delivered), (1, 0), "{protocol}");
        assert_eq!(ids(&receiver.next().unwrap()), first, "{protocol}");
        let exporter = until(&otlp, "logs", |exporter| exporter.waiting == 0).await;
        assert_eq!(
            (exporter.delivered, exporter.dropped, exporter.failing),
            (1, 0, None),
            "{protocol}"
        );
        otlp.finish(soon()).await;
    }
}

/// While a receiver asks for a pause, the status says why, and everything waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttling_receiver_is_named_and_nothing_is_lost() {
    need!(OtlpPython);
    for (protocol, answer, named) in [
        ("http/protobuf", json!({"status": 429, "retry_after": "2"}), "429"),
        ("http/protobuf", json!({"status": 503, "retry_after": "2"}), "503"),
        ("http/protobuf", json!({"status": 502}), "502"),
        ("http/protobuf", json!({"status": 504}), "504"),
        (
            "grpc",
            json!({"code": "RESOURCE_EXHAUSTED", "retry_delay": 2}),
            "ResourceExhausted",
        ),
        ("grpc", json!({"code": "UNAVAILABLE", "retry_delay": 2}), "Unavailable"),
        ("grpc", json!({"code": "ABORTED"}), "Aborted"),
    ] {
        let receiver = Receiver::start(&json!([answer]), None).unwrap();
        let otlp = exporter(&receiver, protocol, &[]);
        otlp.publish(&finding("cart", 1));
        let failing = until(&otlp, "logs", |exporter| exporter.failing.is_some()).await;
        let why = failing.failing.as_deref().unwrap();
        assert!(why.contains(named), "{named}: {why}");
        otlp.publish(&finding("cart", 2));
        let exporter = until(&otlp, "logs", |exporter| exporter.waiting == 0).await;
        assert_eq!(
            (exporter.delivered, exporter.refused, exporter.dropped),
            (2, 0, 0),
            "{named}"
        );
        assert!(
            exporter.retries == 1 && exporter.failing.is_none(),
            "{named}: {exporter:?}"
        );
        otlp.finish(soon()).await;
    }
}

/// What a receiver will never take is dropped and counted, and nothing beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_is_counted_and_not_sent_again() {
    need!(OtlpPython);
    for (protocol, answer) in [
        ("http/protobuf", json!({"status": 400})),
        ("http/protobuf", json!({"status": 500})),
        ("grpc", json!({"code": "INVALID_ARGUMENT"})),
        ("grpc", json!({"code": "RESOURCE_EXHAUSTED"})),
    ] {
        let receiver = Receiver::start(&json!([answer]), None).unwrap();
        let otlp = exporter(&receiver, protocol, &[]);
        otlp.publish(&finding("cart", 1));
        until(&otlp, "logs", |exporter| exporter.refused == 1 && exporter.waiting == 0).await;
        otlp.publish(&finding("cart", 2));
        let exporter = until(&otlp, "logs", |exporter| exporter.delivered == 1).await;
        assert_eq!((exporter.refused, exporter.retries), (1, 0), "{answer}");
        otlp.finish(soon()).await;
        let requests = receiver.rest().len();
        assert_eq!(requests, 2, "{answer}");
    }
}

// One thread: the exporter runs only where this test waits, so that what is published together goes together.
#[tokio::test(flavor = "current_thread")]
async fn partial_success_is_read_and_counted() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let rejected = json!({"rejected": 2, "message": "too old"});
        let receiver = Receiver::start(&json!([rejected]), None).unwrap();
        let otlp = exporter(&receiver, protocol, &[("otlp-compression", "gzip")]);
        (0..5).for_each(|nth| otlp.publish(&finding("cart", nth)));
        let exporter = until(&otlp, "logs", |exporter| exporter.waiting == 0).await;
        assert_eq!(
            (exporter.delivered, exporter.rejected, exporter.retries),
            (3, 2, 0),
            "{protocol}"
        );
        otlp.finish(soon()).await;
        assert_eq!(receiver.rest().len(), 1, "{protocol}: what was rejected was sent again");
    }
}

fn counted(value: f64) -> Vec<Group> {
    vec![Group {
        resource: subject("cart").resource,
        since: u64::MAX >> 1,
        points: vec![Point {
            metric: Metric {
                name: "observer.restarts",
                unit: "{restart}",
                kind: Kind::Counter,
            },
            attributes: Vec::new(),
            value,
        }],
    }]
}

/// Value and temporality of the one count in a request.
fn count(request: &Value) -> (f64, String) {
    let metric = &request["message"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    assert_eq!(metric["name"], "observer.restarts");
    let value = metric["sum"]["dataPoints"][0]["asDouble"].as_f64().unwrap();
    let temporality = metric["sum"]["aggregationTemporality"].as_str().unwrap();
    (value, temporality.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_differences_where_that_is_preferred_and_a_lost_request_costs_none() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start(&json!([{}, {"status": 503, "code": "UNAVAILABLE"}]), None).unwrap();
        let otlp = exporter(
            &receiver,
            protocol,
            &[("otlp-temporality-preference", "delta"), ("metrics-interval", "1h")],
        );
        let mut seen = Vec::new();
        for (nth, value) in [(1, 5.0), (2, 7.0), (3, 8.0)] {
            otlp.send_metrics(counted(value), EPOCH + nth);
            seen.push(count(&receiver.next().unwrap()));
            until(&otlp, "metrics", |exporter| {
                exporter.delivered + exporter.refused == nth
            })
            .await;
        }
        let delta = "AGGREGATION_TEMPORALITY_DELTA".to_owned();
        assert_eq!(
            seen,
            [(5.0, delta.clone()), (2.0, delta.clone()), (3.0, delta)],
            "{protocol}"
        );
        otlp.finish(tokio::time::Instant::now()).await;
    }
}

/// The agent's own metrics take the way of every other signal: the same headers, the same compression.
#[tokio::test(flavor = "multi_thread")]
async fn the_agents_own_metrics_carry_the_headers_of_every_other_signal() {
    need!(OtlpPython);
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start(&json!([]), None).unwrap();
        let more = [
            ("otlp-headers", "x-tenant=a%20b"),
            ("otlp-compression", "gzip"),
            ("metrics-interval", "1h"),
        ];
        let otlp = exporter(&receiver, protocol, &more);
        otlp.set_own_metrics(metrics::own(&AgentView::default()));
        otlp.finish(soon()).await;
        let request = receiver.next().unwrap();
        assert_eq!(request["signal"], "metrics", "{protocol}");
        assert_eq!(request["headers"]["x-tenant"], "a b", "{protocol}");
        let group = &request["message"]["resourceMetrics"][0];
        let attributes = group["resource"]["attributes"].as_array().unwrap();
        let service = attributes.iter().find(|a| a["key"] == "service.name").unwrap();
        assert_eq!(service["value"]["stringValue"], "observer", "{protocol}");
    }
}
