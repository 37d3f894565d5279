//! OTLP as others decode it: sends findings through the agent's exporter, reads what OpenTelemetry's own Python
//! classes make of them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{collections::BTreeMap, time::Duration};

use observer::{config, export::otlp::Otlp};
use observer_tests::{
    findings::{finding, killed},
    need,
    otlp::{Receiver, Tls},
    ports::free_ports,
    tls::certificates,
};
use serde_json::{Value, json};
use tokio::time::Instant;

fn exporter(flags: &[(&'static str, String)]) -> Otlp {
    let flags: BTreeMap<&'static str, String> = flags.iter().cloned().collect();
    let config = config::load(&flags, None).unwrap().config;
    Otlp::start(&config).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Service names and the events under each, of one request.
fn services(request: &Value) -> Vec<(String, Vec<&Value>)> {
    let groups = request["message"]["resourceLogs"].as_array().unwrap();
    groups
        .iter()
        .map(|group| {
            let attributes = group["resource"]["attributes"].as_array().unwrap();
            let name = attributes.iter().find(|a| a["key"] == "service.name").unwrap();
            let records = group["scopeLogs"][0]["logRecords"].as_array().unwrap();
            (
                name["value"]["stringValue"].as_str().unwrap().to_owned(),
                records.iter().collect(),
            )
        })
        .collect()
}

// One thread: the exporter runs only where this test waits, so that what is published together goes together.
#[tokio::test(flavor = "current_thread")]
async fn both_protocols_plain_and_compressed_carry_every_workload_under_its_own_resource() {
    need!(OtlpPython);
    let receiver = Receiver::start(&json!([]), None).unwrap();
    for (protocol, port) in [("grpc", receiver.grpc), ("http/protobuf", receiver.http)] {
        for compression in ["none", "gzip"] {
            let otlp = exporter(&[
                ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
                ("otlp-protocol", protocol.into()),
                ("otlp-compression", compression.into()),
                ("otlp-headers", "x-tenant=a%20b".into()),
            ]);
            for (service, nth) in [("cart", 1), ("shop", 2), ("cart", 3), ("", 4)] {
                otlp.publish(&finding(service, nth));
            }
            otlp.finish(soon()).await;
            let request = receiver.next().unwrap();
            assert_eq!(request["headers"]["x-tenant"], "a b", "{protocol} {compression}");
            if protocol != "grpc" {
                let encoding = request["headers"].get("content-encoding").and_then(Value::as_str);
                assert_eq!(encoding, (compression == "gzip").then_some("gzip"));
            }
            let services = services(&request);
            let shape: Vec<(&str, usize)> = services.iter().map(|(name, r)| (name.as_str(), r.len())).collect();
            assert_eq!(shape, [("cart", 2), ("shop", 1), ("observer", 1)]);
            let record = services[0].1[1];
            assert_eq!(record["eventName"], "observer.memory.misfit");
            assert_eq!(record["timeUnixNano"], "1700000000000000003");
            assert_eq!(record["severityText"], "INFO");
            assert!(record["body"]["stringValue"].is_string());
            assert_eq!(services[2].1[0]["eventName"], "observer.gap");
            assert!(receiver.rest().is_empty(), "one request carries all");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_sent_again_is_sent_again_no_sooner_than_asked() {
    need!(OtlpPython);
    let answers = json!([
        {"status": 503, "retry_after": "2"}, {"status": 429}, {},
        {"code": "RESOURCE_EXHAUSTED", "retry_delay": 2}, {"code": "UNAVAILABLE"}, {},
    ]);
    let receiver = Receiver::start(&answers, None).unwrap();
    for (protocol, port) in [("http/protobuf", receiver.http), ("grpc", receiver.grpc)] {
        let otlp = exporter(&[
            ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
            ("otlp-protocol", protocol.into()),
        ]);
        otlp.publish(&finding("cart", 1));
        let times: Vec<f64> = (0..3)
            .map(|_| {
                let request = receiver.next().unwrap();
                assert_eq!(services(&request)[0].1.len(), 1);
                request["time"].as_f64().unwrap()
            })
            .collect();
        assert!(times[1] - times[0] >= 2.0, "{protocol}: {times:?}");
        otlp.finish(soon()).await;
        assert!(receiver.rest().is_empty(), "{protocol}: sent once more than needed");
    }
}

// One thread: the exporter runs only where this test waits, so that what is published together goes together.
#[tokio::test(flavor = "current_thread")]
async fn one_refused_record_takes_no_other_with_it() {
    need!(OtlpPython);
    // Four records are refused together, then the first two, then the first alone; the rest is taken.
    let receiver = Receiver::start(&json!([{"status": 400}, {"status": 400}, {"status": 400}]), None).unwrap();
    let otlp = exporter(&[("otlp-endpoint", format!("http://127.0.0.1:{}", receiver.http))]);
    (1..=4).for_each(|nth| otlp.publish(&finding("cart", nth)));
    otlp.finish(soon()).await;
    let times: Vec<Vec<String>> = receiver
        .rest()
        .iter()
        .map(|request| {
            let records = services(request).remove(0).1;
            records
                .iter()
                .map(|r| r["timeUnixNano"].as_str().unwrap()[18..].to_owned())
                .collect()
        })
        .collect();
    assert_eq!(
        times,
        [vec!["1", "2", "3", "4"], vec!["1", "2"], vec!["1"], vec!["2", "3", "4"]]
    );
}

// One thread: the exporter runs only where this test waits, so that what is published together goes together.
#[tokio::test(flavor = "current_thread")]
async fn a_receiver_that_comes_back_gets_what_waited() {
    need!(OtlpPython);
    let [grpc, http] = free_ports().unwrap();
    for (protocol, port) in [("grpc", grpc), ("http/protobuf", http)] {
        let otlp = exporter(&[
            ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
            ("otlp-protocol", protocol.into()),
        ]);
        (1..=3).for_each(|nth| otlp.publish(&finding("cart", nth)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let back = Receiver::on_ports(grpc, http, &json!([]), None).unwrap();
        otlp.finish(soon()).await;
        assert_eq!(services(&back.next().unwrap())[0].1.len(), 3, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_is_delivered_by_the_next_agent() {
    need!(OtlpPython);
    let store = tempfile::tempdir().unwrap();
    let [grpc, http] = free_ports().unwrap();
    let flags = [
        ("otlp-endpoint", format!("http://127.0.0.1:{http}")),
        ("store", store.path().to_str().unwrap().to_owned()),
    ];
    let dying = exporter(&flags);
    (1..=3).for_each(|nth| dying.publish(&finding("cart", nth)));
    dying.finish(Instant::now()).await;
    let back = Receiver::on_ports(grpc, http, &json!([]), None).unwrap();
    let next = exporter(&flags);
    let request = back.next().unwrap();
    let records = services(&request).remove(0).1;
    let times: Vec<&str> = records
        .iter()
        .map(|r| &r["timeUnixNano"].as_str().unwrap()[18..])
        .collect();
    assert_eq!(times, ["1", "2", "3"]);
    next.finish(soon()).await;
    assert!(back.rest().is_empty());
    // Delivered is delivered: the third agent has nothing to send.
    exporter(&flags).finish(soon()).await;
    assert!(back.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_run_is_a_span_of_its_own_service() {
    need!(OtlpPython);
    let receiver = Receiver::start(&json!([]), None).unwrap();
    let run = killed("cart", 1, "1.0");
    for (protocol, port) in [("grpc", receiver.grpc), ("http/protobuf", receiver.http)] {
        let otlp = exporter(&[
            ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
            ("otlp-protocol", protocol.into()),
        ]);
        otlp.publish_run(&run);
        otlp.finish(soon()).await;
        let traces = receiver.next().unwrap();
        assert_eq!(traces["signal"], "traces");
        let group = &traces["message"]["resourceSpans"][0];
        let resource = group["resource"]["attributes"].as_array().unwrap();
        let name = resource.iter().find(|a| a["key"] == "service.name").unwrap();
        assert_eq!(name["value"]["stringValue"], "cart", "{protocol}");
        let span = &group["scopeSpans"][0]["spans"][0];
        assert_eq!(span["name"], "api", "named after the container");
        assert_eq!(span["status"]["code"], "STATUS_CODE_ERROR");
        let wall = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(
            (wall("startTimeUnixNano"), wall("endTimeUnixNano")),
            (run.started.0, run.ended.0)
        );
        assert!(span["links"][0]["traceId"].is_string(), "the pipeline's trace: {span}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_does_not_hold_the_agent_up() {
    need!(OtlpPython);
    let receiver = Receiver::start(&json!([{"stall": 300}]), None).unwrap();
    let otlp = exporter(&[("otlp-endpoint", format!("http://127.0.0.1:{}", receiver.http))]);
    otlp.publish(&finding("cart", 1));
    receiver.next().unwrap();
    let ended = tokio::time::timeout(
        Duration::from_mins(1),
        otlp.finish(Instant::now() + Duration::from_millis(300)),
    );
    ended.await.expect("finish returns at its deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_mutual_tls() {
    need!(OtlpPython, Program("openssl"));
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path()).unwrap();
    let file = |name: &str| directory.path().join(name);
    let text = |name: &str| file(name).to_str().unwrap().to_owned();
    let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("ca.pem"));
    for clients in [None, Some(authority.as_path())] {
        let tls = Tls {
            certificate: &certificate,
            key: &key,
            clients,
        };
        let receiver = Receiver::start(&json!([]), Some(tls)).unwrap();
        for (protocol, port) in [("grpc", receiver.grpc), ("http/protobuf", receiver.http)] {
            let mut flags = vec![
                ("otlp-endpoint", format!("https://localhost:{port}")),
                ("otlp-protocol", protocol.to_owned()),
            ];
            // Without the authority the certificate is not trusted, and nothing gets through.
            let distrusting = exporter(&flags);
            distrusting.publish(&finding("cart", 1));
            distrusting.finish(Instant::now() + Duration::from_secs(2)).await;
            assert!(receiver.rest().is_empty(), "{protocol}");

            flags.push(("otlp-certificate", text("ca.pem")));
            if clients.is_some() {
                let anonymous = exporter(&flags);
                anonymous.publish(&finding("cart", 1));
                anonymous.finish(Instant::now() + Duration::from_secs(2)).await;
                assert!(
                    receiver.rest().is_empty(),
                    "{protocol}: a client without certificate was admitted"
                );
                flags.push(("otlp-client-certificate", text("client.pem")));
                flags.push(("otlp-client-key", text("client.key")));
            }
            let otlp = exporter(&flags);
            otlp.publish(&finding("cart", 1));
            otlp.finish(soon()).await;
            assert_eq!(
                services(&receiver.next().unwrap())[0].1.len(),
                1,
                "{protocol} {clients:?}"
            );
        }
    }
}
