//! Real backends: a Prometheus that scrapes and one that is sent OTLP hold the same series; a Jaeger shows the runs of a
//! rollout as one trace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use observer::{config, export::otlp::Otlp};
use observer_core::{What, exit::Cause};
use observer_tests::{
    agent::{self, Agent, DEADLINE},
    backend::{Backend, debian_prometheus},
    bundle::Spec,
    container::{Container, Restart},
    counterpart::{JAEGER, PROMETHEUS},
    findings::{EPOCH, killed, subject},
    fleet::dashboards::encoded,
    need,
    ports::free_ports,
};
use serde_json::{Value, json};

/// `match[]={__name__=~"observer_.+|container_.+|process_.+|target_info"}`
const OURS: &str = "match[]=%7B__name__%3D~%22observer_.%2B%7Ccontainer_.%2B%7Cprocess_.%2B%7Ctarget_info%22%7D";

/// All series of the agent and of this test's service that it holds, as sorted labels. Other services of this machine
/// come and go between a scrape and a push.
fn series(prometheus: &Backend) -> BTreeSet<String> {
    let answer = prometheus.ask(&format!("/api/v1/series?{OURS}")).unwrap();
    let list = answer["data"].as_array().unwrap();
    list.iter()
        .map(|labels| {
            let labels: BTreeMap<String, String> = serde_json::from_value(labels.clone()).unwrap();
            (labels["job"].clone(), format!("{labels:?}"))
        })
        .filter(|(job, _)| ["observer", "shop/scraped"].contains(&job.as_str()))
        .map(|(_, labels)| labels)
        .collect()
}

/// Values of what does not change between a scrape and a push, by labels.
fn values(prometheus: &Backend) -> BTreeMap<String, f64> {
    let names =
        "observer_memory_ceiling_bytes|observer_version_first_seen_seconds|observer_leak_state|observer_runs_total";
    let query = encoded(&format!("{{__name__=~\"{names}\",job=\"shop/scraped\"}}"));
    let answer = prometheus.ask(&format!("/api/v1/query?query={query}")).unwrap();
    let list = answer["data"]["result"].as_array().unwrap().iter();
    let of = |sample: &Value| {
        let labels: BTreeMap<String, String> = serde_json::from_value(sample["metric"].clone()).unwrap();
        (
            format!("{labels:?}"),
            sample["value"][1].as_str().unwrap().parse().unwrap(),
        )
    };
    list.map(of).collect()
}

#[test]
fn a_scraped_prometheus_and_one_that_is_sent_otlp_hold_the_same_series_and_values() {
    need!(Root, Runc, Node, Counterpart(&PROMETHEUS), DebianPrometheus);
    let debian = debian_prometheus().unwrap();
    let receiving = Backend::prometheus(&PROMETHEUS.program("prometheus").unwrap(), None, true).unwrap();
    let [listen] = free_ports().unwrap();
    let listen = format!("127.0.0.1:{listen}");
    let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "1s", "--hooks", "off"]);
    command
        .args(["--metrics-interval", "1s", "--listen", &listen])
        .env(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            format!("http://{}/v1/metrics", receiving.otlp),
        )
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let mut agent = Agent::spawn(&mut command).unwrap();
    let spec = Spec::fixture("scraped", Some(256 << 20), "leak.js", &[])
        .with("OTEL_SERVICE_NAME", "scraped")
        .with("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.2,service.namespace=shop");
    let _container = Container::ready(spec, Restart::Never).unwrap();
    agent
        .wait_input("a sample", |input| matches!(input.what, What::Sample(_)).then_some(()))
        .unwrap();
    let scraping = Backend::prometheus(&debian, Some(&listen), false).unwrap();

    let deadline = Instant::now() + DEADLINE;
    loop {
        let (scraped, sent) = (series(&scraping), series(&receiving));
        let complete = [
            "observer_memory_level_bytes",
            "observer_agent_inputs_total",
            "target_info",
        ]
        .iter()
        .all(|name| scraped.iter().any(|labels| labels.contains(&format!("\"{name}\""))));
        // What was true for a moment only (the ceiling before the limit was read) may have been seen by one of the two:
        // then with other values of the same labels.
        let names = |series: &BTreeSet<String>| -> BTreeSet<String> {
            let name = |labels: &String| labels.split(", ").next().unwrap_or_default().to_owned();
            // Told until the container's level was read: the first push may be the only one that had it.
            let lasts = |labels: &&String| !labels.contains("\"process_uptime_seconds\"");
            series.iter().filter(lasts).map(name).collect()
        };
        let (scraped_values, sent_values) = (values(&scraping), values(&receiving));
        let same = |(labels, value): (&String, &f64)| sent_values.get(labels) == Some(value);
        let alike = scraped_values.len() >= 4 && scraped_values.iter().all(same);
        if complete && alike && scraped.is_subset(&sent) && names(&scraped) == names(&sent) {
            let of_service = scraped
                .iter()
                .filter(|labels| labels.contains("\"shop/scraped\""))
                .count();
            assert!(of_service > 7, "{scraped:#?}");
            let told = "\"deployment_environment_name\": \"test\"";
            assert!(scraped.iter().any(|labels| labels.contains(told)), "{scraped:#?}");
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{scraped_values:#?}\n{sent_values:#?}\nonly scraped: {:#?}\nonly sent: {:#?}\nboth: {}\nthe receiving one says: {}\nthe agent: {}",
            scraped.difference(&sent).collect::<Vec<_>>(),
            sent.difference(&scraped).collect::<Vec<_>>(),
            scraped.intersection(&sent).count(),
            receiving.log(),
            agent.messages.so_far().join("\n")
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jaeger_shows_the_runs_of_a_rollout_as_one_trace() {
    need!(Counterpart(&JAEGER));
    let jaeger = Backend::jaeger(&JAEGER.program("jaeger").unwrap()).unwrap();
    let flags = BTreeMap::from([
        ("otlp-endpoint", format!("http://{}", jaeger.otlp)),
        ("otlp-protocol", "http/protobuf".to_owned()),
    ]);
    let otlp = Otlp::start(&config::load(&flags, None).unwrap().config).unwrap();
    for (nth, version) in [(1, "1.0"), (2, "1.0"), (3, "1.0"), (4, "2.0")] {
        otlp.publish_run(&killed("cart", nth, version));
        // A second delivery is the same span.
        otlp.publish_run(&killed("cart", nth, version));
    }
    otlp.finish(tokio::time::Instant::now() + Duration::from_secs(60)).await;

    let (start, end) = (EPOCH / 1_000, EPOCH / 1_000 + 3_600_000_000);
    let path = format!("/api/traces?service=cart&start={start}&end={end}&limit=50");
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = jaeger.ask(&path).unwrap();
        let mut runs: Vec<usize> = answer["data"].as_array().unwrap().iter().map(distinct_spans).collect();
        runs.sort_unstable();
        if runs == [1, 3] {
            let span = &answer["data"][0]["spans"][0];
            assert_eq!(span["operationName"], "api", "{span}");
            return;
        }
        assert!(Instant::now() < deadline, "{runs:?}: {answer:#}\n{}", jaeger.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Which deploy brought the restarts: asked by service, version and outcome, with the runs, their causes and durations; the
/// version before, whose runs ended as they were meant to, is not among those that failed.
#[tokio::test(flavor = "multi_thread")]
async fn jaeger_tells_which_deploy_brought_the_restarts() {
    need!(Counterpart(&JAEGER));
    let jaeger = Backend::jaeger(&JAEGER.program("jaeger").unwrap()).unwrap();
    let flags = BTreeMap::from([
        ("otlp-endpoint", format!("http://{}", jaeger.otlp)),
        ("otlp-protocol", "http/protobuf".to_owned()),
    ]);
    let otlp = Otlp::start(&config::load(&flags, None).unwrap().config).unwrap();
    for (nth, version, cause) in [
        (1, "1.41", Cause::Rollout),
        (2, "1.42", Cause::KernelOom),
        (3, "1.42", Cause::KernelOom),
        (4, "1.42", Cause::KernelOom),
    ] {
        let mut run = killed("cart", nth, version);
        let mut of = subject("cart");
        of.resource.insert("service.version".to_owned(), version.to_owned());
        (run.subject, run.run.end.cause) = (Arc::new(of), cause);
        otlp.publish_run(&run);
    }
    otlp.finish(tokio::time::Instant::now() + Duration::from_secs(60)).await;

    let (start, end) = (EPOCH / 1_000, EPOCH / 1_000 + 3_600_000_000);
    let find = |tags: Value| -> Vec<Vec<Value>> {
        let tags = encoded(&tags.to_string());
        let path = format!("/api/traces?service=cart&start={start}&end={end}&limit=50&tags={tags}");
        let answer = jaeger.ask(&path).unwrap();
        let traces = answer["data"].as_array().unwrap().iter();
        traces.map(|trace| trace["spans"].as_array().unwrap().clone()).collect()
    };
    let deadline = Instant::now() + DEADLINE;
    let failed = loop {
        let found = find(json!({"service.version": "1.42", "error": "true"}));
        if found.first().is_some_and(|spans| spans.len() == 3) {
            break found;
        }
        assert!(Instant::now() < deadline, "{found:#?}\n{}", jaeger.log());
        std::thread::sleep(Duration::from_millis(200));
    };
    let tag = |span: &Value, name: &str| {
        let tags = span["tags"].as_array().unwrap().iter();
        tags.clone()
            .find(|tag| tag["key"] == name)
            .map(|tag| tag["value"].clone())
    };
    assert_eq!(failed.len(), 1, "one rollout is one trace: {failed:#?}");
    for span in &failed[0] {
        assert_eq!(tag(span, "observer.exit.cause"), Some(json!("kernel_oom")), "{span:#}");
        assert_eq!(span["duration"], 8_000_000, "microseconds: {span:#}");
        // The pipeline's trace, as the pod's `traceparent` names it.
        let pipeline = "4bf92f3577b34da6a3ce929d0e0e4736";
        let links = span["references"].as_array().unwrap();
        assert!(links.iter().any(|link| link["traceID"] == pipeline), "{span:#}");
    }
    let healthy = find(json!({"service.version": "1.41"}));
    assert_eq!(healthy.len(), 1, "{healthy:#?}");
    assert_eq!(tag(&healthy[0][0], "error"), None, "{healthy:#?}");
    assert_eq!(
        find(json!({"service.version": "1.41", "error": "true"})),
        Vec::<Vec<Value>>::new()
    );
}

fn distinct_spans(trace: &Value) -> usize {
    let spans = trace["spans"].as_array().unwrap();
    spans
        .iter()
        .map(|span| span["spanID"].to_string())
        .collect::<BTreeSet<_>>()
        .len()
}
