//! The Collector configuration that is shipped, in a real Collector: what an agent sends arrives behind it, by signal, with
//! the cluster's name added and nothing replaced.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use observer::{
    config,
    export::{
        metrics::{Group, Kind, Metric, Point},
        otlp::Otlp,
    },
};
use observer_tests::{
    app,
    counterpart::COLLECTOR,
    findings::{EPOCH, finding, killed},
    lines::Lines,
    need, places,
    ports::free_ports,
    receiver::Receiver,
    stage::Scratch,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_collector_fans_out_and_enriches() {
    need!(OtlpPython, Counterpart(&COLLECTOR));
    let scratch = Scratch::new("fan-out").unwrap();
    let mut behind = ["traces", "logs", "metrics"].map(|_| Receiver::start(&[]).unwrap());
    let [grpc, http, health] = free_ports().unwrap().map(|port| format!("127.0.0.1:{port}"));
    let mut command = Command::new(COLLECTOR.program("collector").unwrap());
    command
        .arg("--config")
        .arg(places::workspace().join("deploy/collector/collector.yaml"))
        .env("CLUSTER", "prod-1")
        .env("ENVIRONMENT", "prod")
        .env("QUEUE_DIR", scratch.file("queue"))
        .env("GRPC_ADDRESS", &grpc)
        .env("HTTP_ADDRESS", &http)
        .env("HEALTH_ADDRESS", &health);
    for (variable, receiver) in ["TRACES_ENDPOINT", "LOGS_ENDPOINT", "METRICS_ENDPOINT"]
        .iter()
        .zip(&behind)
    {
        command.env(variable, receiver.endpoint());
    }
    let mut collector = app::dies_with_us(&mut command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = Lines::of(collector.stderr.take().unwrap());
    log.wait("the Collector's readiness", Duration::from_secs(90), |line| {
        line.contains("Everything is ready").then_some(())
    })
    .unwrap();

    let flags = BTreeMap::from([
        ("otlp-endpoint", format!("http://{grpc}")),
        ("otlp-protocol", "grpc".to_owned()),
    ]);
    let otlp = Otlp::start(&config::load(&flags, None).unwrap().config).unwrap();
    otlp.publish(&finding("cart", 1));
    otlp.publish_run(&killed("cart", 1, "1.0"));
    // One that says itself where it runs.
    let resource = [("service.name", "cart"), ("deployment.environment.name", "staging")];
    let resource = resource.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let metric = Metric {
        name: "observer.memory.slope",
        unit: "By/h",
        kind: Kind::Gauge,
    };
    let points = vec![Point {
        metric,
        attributes: vec![],
        value: 1.5,
    }];
    otlp.send_metrics(
        vec![Group {
            resource,
            since: EPOCH,
            points,
        }],
        EPOCH,
    );

    let [traces, logs, metrics] = &mut behind;
    for (receiver, signal, environment) in [
        (traces, "span", "prod"),
        (logs, "log", "prod"),
        (metrics, "metric", "staging"),
    ] {
        let resource = receiver
            .wait(signal, |record| {
                let of_cart = record["signal"] == signal && record["resource"]["service.name"] == "cart";
                of_cart.then(|| record["resource"].clone())
            })
            .unwrap();
        assert_eq!(resource["k8s.cluster.name"], "prod-1", "{signal}: {resource}");
        assert_eq!(
            resource["deployment.environment.name"], environment,
            "{signal}: {resource}"
        );
        // Each backend gets its own signal only.
        let mut others = receiver.so_far();
        others.retain(|record| {
            ["span", "log", "metric"].iter().any(|other| record["signal"] == *other) && record["signal"] != signal
        });
        assert!(others.is_empty(), "{signal}: {others:?}");
    }
    otlp.finish(tokio::time::Instant::now() + Duration::from_secs(10)).await;
    collector.kill().unwrap();
    collector.wait().unwrap();
}
