//! Reads configurations as users write them, produces what the agent makes of each.

use super::*;

fn flags(pairs: &[(&'static str, &str)]) -> BTreeMap<&'static str, String> {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn from_file(text: &str) -> Result<Loaded, Problems> {
    validate(&flags(&[]), env(&[]), Some((Path::new("observer.toml"), text)))
}

#[test]
fn flags_win_over_environment_over_file() {
    let file = "sample-interval = \"1s\"\nnear-ceiling = 0.5\nmax-processes = 7\n";
    let loaded = validate(
        &flags(&[("sample-interval", "3s")]),
        env(&[("OBSERVER_SAMPLE_INTERVAL", "2s"), ("OBSERVER_NEAR_CEILING", "0.6")]),
        Some((Path::new("observer.toml"), file)),
    )
    .unwrap();
    assert_eq!(loaded.config.sample_interval, Duration::from_secs(3));
    assert!((loaded.config.settings.near_ceiling_ratio - 0.6).abs() < 1e-9);
    assert_eq!(loaded.config.max_processes, 7);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let problems = from_file("\nsample_interval = \"1s\"\nnear-ceiling = 7\noutput = [1]\n").unwrap_err();
    expect_test::expect![[r"
        observer.toml:3: near-ceiling: `7` is out of range; write a number from 0.1 to 0.99
        observer.toml:4: output: a array is not a value of this setting; write auto|human|json in quotes
        observer.toml:2: sample_interval: there is no such setting; did you mean `sample-interval`?"]]
    .assert_eq(&sorted(&problems));
}

fn sorted(problems: &Problems) -> String {
    let mut lines: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    lines.sort_by_key(|line| line.split_once(": ").map(|(_, rest)| rest.to_owned()));
    lines.join("\n")
}

#[test]
fn syntax_errors_name_their_line() {
    let error = from_file("a = 1\nb = = 2\n").unwrap_err().to_string();
    assert!(
        error.starts_with("observer.toml: cannot be read as a configuration file: line 2: "),
        "{error}"
    );
}

#[test]
fn a_service_named_observer_in_kubernetes_is_no_error() {
    let loaded = validate(
        &flags(&[]),
        env(&[
            ("OBSERVER_SERVICE_HOST", "10.0.0.1"),
            ("OBSERVER_SAMPEL_INTERVAL", "1s"),
        ]),
        None,
    )
    .unwrap();
    assert_eq!(loaded.notices.len(), 1, "{:?}", loaded.notices);
    assert!(loaded.notices[0].contains("`sample-interval`"));
}

fn logs(environment: &[(&str, &str)]) -> Option<Target> {
    validate(&flags(&[]), env(environment), None).unwrap().config.logs
}

#[test]
fn generic_endpoint_gets_the_signals_path_and_a_signals_own_does_not() {
    let generic = logs(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/")]).unwrap();
    assert_eq!(generic.endpoint.to_string(), "http://c:4318/base/v1/logs");
    assert_eq!(generic.protocol, otlp::Protocol::HttpProtobuf);
    let own = logs(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://d:1/x"),
    ])
    .unwrap();
    assert_eq!(own.endpoint.to_string(), "http://d:1/x");
}

#[test]
fn port_4317_means_grpc_unless_said_otherwise() {
    let grpc = logs(&[("OBSERVER_OTLP_ENDPOINT", "http://c:4317")]).unwrap();
    assert_eq!(
        (grpc.protocol, grpc.endpoint.to_string()),
        (otlp::Protocol::Grpc, "http://c:4317/".to_owned())
    );
    let http = logs(&[
        ("OBSERVER_OTLP_ENDPOINT", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ])
    .unwrap();
    assert_eq!(http.protocol, otlp::Protocol::HttpProtobuf);
    let bare = logs(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
    ])
    .unwrap();
    assert_eq!(bare.endpoint.to_string(), "http://c:4317/");
}

#[test]
fn otel_milliseconds_and_switches() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    let target = logs(&[base, ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500")]).unwrap();
    assert_eq!(target.timeout, Duration::from_millis(2500));
    assert!(logs(&[base, ("OTEL_SDK_DISABLED", "true")]).is_none());
    assert!(logs(&[base, ("OTEL_LOGS_EXPORTER", "none")]).is_none());
    assert!(logs(&[]).is_none());
}

#[test]
fn header_values_appear_in_no_message() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    let target = logs(&[
        base,
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2,x-a=b"),
    ])
    .unwrap();
    assert_eq!(target.headers["authorization"], "Bearer hunter2");
    assert!(!format!("{target:?}").contains("hunter2"));
    for bad in ["x hunter2=v", "authorization=hunter2%0a", "hunter2"] {
        let problems = validate(&flags(&[]), env(&[base, ("OTEL_EXPORTER_OTLP_HEADERS", bad)]), None).unwrap_err();
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }
}

#[test]
fn a_client_key_without_its_certificate_is_a_problem() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let path = file.path().to_str().unwrap();
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4318");
    let problems = validate(&flags(&[]), env(&[base, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", path)]), None).unwrap_err();
    assert!(problems.to_string().contains("set both, or none"), "{problems}");
    let problems = validate(
        &flags(&[]),
        env(&[base, ("OTEL_EXPORTER_OTLP_CERTIFICATE", path)]),
        None,
    )
    .unwrap_err();
    assert!(problems.to_string().contains("holds no CERTIFICATE"), "{problems}");
}

/// Each variable of the specification, generic and for each signal: the signal's own wins, and touches no other.
#[test]
fn every_variable_generic_and_per_signal() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, holds: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("-----BEGIN {holds}-----\n{name}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let values = |of: &str, port: u16, timeout: &str, compression: &str, protocol: &str| {
        [
            ("ENDPOINT", format!("https://{of}:{port}/p")),
            ("PROTOCOL", protocol.to_owned()),
            ("HEADERS", format!("x-of={of}")),
            ("TIMEOUT", timeout.to_owned()),
            ("COMPRESSION", compression.to_owned()),
            ("CERTIFICATE", file(&format!("{of}-authority"), "CERTIFICATE")),
            ("CLIENT_CERTIFICATE", file(&format!("{of}-client"), "CERTIFICATE")),
            ("CLIENT_KEY", file(&format!("{of}-key"), "PRIVATE KEY")),
        ]
    };
    let generic = values("all", 1, "1000", "none", "http/protobuf");
    for own in ["LOGS", "METRICS", "TRACES"] {
        let special = values("own", 2, "2000", "gzip", "grpc");
        let mut environment = BTreeMap::new();
        for (name, value) in &generic {
            environment.insert(format!("OTEL_EXPORTER_OTLP_{name}"), value.clone());
        }
        for (name, value) in &special {
            environment.insert(format!("OTEL_EXPORTER_OTLP_{own}_{name}"), value.clone());
        }
        let config = validate(&flags(&[]), environment, None).unwrap().config;
        for (signal, target) in [
            ("LOGS", config.logs),
            ("METRICS", config.metrics),
            ("TRACES", config.traces),
        ] {
            let target = target.unwrap();
            let is_own = signal == own;
            let of = if is_own { "own" } else { "all" };
            let holds = |pem: &[u8], name: &str| String::from_utf8_lossy(pem).contains(&format!("{of}-{name}"));
            let case = format!("{signal} with {own}'s own: {target:?}");
            assert_eq!(target.endpoint.host(), Some(of), "{case}");
            assert_eq!(target.protocol == otlp::Protocol::Grpc, is_own, "{case}");
            assert_eq!(target.headers["x-of"], of, "{case}");
            assert_eq!(
                target.timeout,
                Duration::from_secs(if is_own { 2 } else { 1 }),
                "{case}"
            );
            assert_eq!(target.gzip, is_own, "{case}");
            assert!(holds(target.authorities.as_ref().unwrap(), "authority"), "{case}");
            let (certificate, key) = target.identity.as_ref().unwrap();
            assert!(holds(certificate, "client") && holds(key, "key"), "{case}");
        }
    }
}

#[test]
fn what_counts_say_and_how_often_and_how_long_to_wait() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base?tenant=a");
    let preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let load = |variables: &[(&str, &str)], given: &[(&'static str, &str)]| {
        let variables = [&[base], variables].concat();
        validate(&flags(given), env(&variables), None).map(|loaded| loaded.config)
    };
    let config = load(&[(preference, "DELTA"), ("OTEL_METRIC_EXPORT_INTERVAL", "5000")], &[]).unwrap();
    let metrics = config.metrics.unwrap();
    assert_eq!(metrics.temporality, otlp::Temporality::Delta);
    assert_eq!(metrics.endpoint.to_string(), "http://c:4318/base/v1/metrics?tenant=a");
    assert_eq!(metrics.retry.longest, Duration::from_secs(30));
    assert_eq!(config.metrics_interval, Duration::from_secs(5));
    // Ours win.
    let ours = [
        ("otlp-temporality-preference", "cumulative"),
        ("metrics-interval", "7s"),
        ("otlp-retry-initial-interval", "2s"),
        ("otlp-retry-max-interval", "5m"),
    ];
    let config = load(&[(preference, "delta"), ("OTEL_METRIC_EXPORT_INTERVAL", "5000")], &ours).unwrap();
    let metrics = config.metrics.unwrap();
    assert_eq!(metrics.temporality, otlp::Temporality::Cumulative);
    assert_eq!(config.metrics_interval, Duration::from_secs(7));
    let logs = config.logs.unwrap().retry;
    assert_eq!(
        (logs.initial, logs.longest),
        (Duration::from_secs(2), Duration::from_mins(5))
    );
    let wrong = load(&[(preference, "sometimes")], &[]).unwrap_err().to_string();
    assert!(wrong.contains(preference) && wrong.contains("lowmemory"), "{wrong}");
}
