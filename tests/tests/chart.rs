//! The Helm chart: what it renders, what it refuses, and that the plain manifest is the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use expect_test::expect_file;
use observer_tests::{
    counterpart::{Counterpart, HELM, HELM3},
    need, places,
};
use serde_json::Value;

fn at(below: &str) -> PathBuf {
    places::workspace().join("deploy").join(below)
}

/// What `helm template` makes of the chart, or why it refuses.
fn rendered(release: &str, arguments: &[&str]) -> Result<String, String> {
    rendered_by(&HELM, release, arguments)
}

fn rendered_by(helm: &Counterpart, release: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(helm.program("helm").unwrap())
        .args(["template", release, "--namespace", "observer"])
        .arg(at("helm/observer"))
        .args(arguments)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let parts = text.split("---\n").map(|part| {
        let lines = part.lines().filter(|line| !line.starts_with("# Source: "));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    });
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    Ok(parts.join("\n---\n") + "\n")
}

#[test]
fn it_renders_as_it_did() {
    need!(Counterpart(&HELM));
    expect_file![at("helm/golden/default.yaml")].assert_eq(&rendered("observer", &[]).unwrap());
    let everything = at("helm/observer/ci/everything-values.yaml").display().to_string();
    let everything = rendered("observer", &["--values", &everything]).unwrap();
    expect_file![at("helm/golden/everything.yaml")].assert_eq(&everything);
    assert!(!everything.contains("privileged: true"), "{everything}");
}

/// To the byte; built from its module it does not know of which Kubernetes it is.
#[test]
fn helm_3_renders_the_same() {
    need!(Counterpart(&HELM3));
    let everything = at("helm/observer/ci/everything-values.yaml").display().to_string();
    for (golden, arguments) in [("default", &[][..]), ("everything", &["--values", everything.as_str()])] {
        let arguments = [&["--kube-version", "1.36.0"], arguments].concat();
        let golden = fs::read_to_string(at(&format!("helm/golden/{golden}.yaml"))).unwrap();
        assert_eq!(rendered_by(&HELM3, "observer", &arguments).unwrap(), golden);
    }
}

#[test]
fn the_plain_manifest_is_the_chart() {
    need!(Counterpart(&HELM));
    let values = at("kubernetes/values.yaml").display().to_string();
    let manifest = rendered("observer", &["--values", &values]).unwrap();
    let plain: Vec<&str> = manifest
        .lines()
        .filter(|line| line.trim() != "app.kubernetes.io/managed-by: Helm")
        .collect();
    let head = "# The agent on every node, as the chart renders it with values.yaml beside this: set the image, and the endpoint\n\
                # (OTEL_EXPORTER_OTLP_ENDPOINT in the DaemonSet's env). Written by a test, tests/tests/chart.rs.\n";
    expect_file![at("kubernetes/observer.yaml")].assert_eq(&format!("{head}{}\n", plain.join("\n")));
}

#[test]
fn a_value_that_is_wrong_is_refused_by_name() {
    need!(Counterpart(&HELM));
    for (wrong, named) in [
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.digest=latest", "/image/digest"),
        ("otlp.endpoint=collector:4317", "/otlp/endpoint"),
        ("otlp.headersSecret.name=x", "/otlp/headersSecret"),
        ("settings.sample-intervl=1s", "sample-intervl"),
        ("metrics.port=0", "/metrics/port"),
        ("store.hostPath=relative", "/store/hostPath"),
        ("seccompProfile.type=Localhost", "/seccompProfile/localhostProfile"),
        ("pods.select=some", "/pods/select"),
        ("pods.includeNamespaces={Shop}", "/pods/includeNamespaces"),
        ("endpoint=http://x", "endpoint"),
    ] {
        let refused = rendered("observer", &["--set", wrong]);
        assert!(
            refused.as_ref().is_err_and(|why| why.contains(named)),
            "{wrong}: {refused:?}"
        );
    }
}

#[test]
fn names_follow_the_release() {
    need!(Counterpart(&HELM));
    let text = rendered("trial", &[]).unwrap();
    assert!(text.contains("name: trial-observer\n"), "{text}");
    assert!(!text.contains("name: observer\n  namespace"), "{text}");
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(at("helm/observer/values.schema.json")).unwrap()).unwrap()
}

/// Each value of values.yaml is in the schema, and each value of the schema says what it is.
#[test]
fn every_value_is_documented() {
    let schema = schema();
    let values = fs::read_to_string(at("helm/observer/values.yaml")).unwrap();
    let mut path: Vec<String> = Vec::new();
    let mut checked = 0;
    for line in values
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
    {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let Some((key, _)) = line.trim().split_once(':').filter(|(key, _)| !key.starts_with("- ")) else {
            continue;
        };
        path.truncate(depth);
        path.push(key.to_owned());
        if path[0] == "resources" && depth > 0 {
            continue;
        }
        let described = path.iter().fold(&schema, |at, key| &at["properties"][key])["description"].as_str();
        assert!(
            described.is_some_and(|text| !text.is_empty()),
            "{path:?} has no description"
        );
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

/// A setting of the agent is a value of `settings`, or one that the chart sets itself.
#[test]
fn every_setting_can_be_set() {
    const BY_THE_CHART: [&str; 20] = [
        "cgroupfs",
        "exclude-namespaces",
        "heap-workloads",
        "include-namespaces",
        "kubernetes-events",
        "listen",
        "node-name",
        "otlp-certificate",
        "otlp-client-certificate",
        "otlp-client-key",
        "otlp-compression",
        "otlp-endpoint",
        "otlp-headers",
        "otlp-protocol",
        "output",
        "pods",
        "procfs",
        "status-socket",
        "store",
        "watch-itself",
    ];
    let docs = fs::read_to_string(places::workspace().join("docs/configuration.md")).unwrap();
    let known: BTreeSet<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| !BY_THE_CHART.contains(name))
        .collect();
    let schema = schema();
    let told = schema["properties"]["settings"]["propertyNames"]["enum"]
        .as_array()
        .unwrap();
    let told: BTreeSet<&str> = told.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(told, known);
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = fs::read_to_string(at("helm/observer/Chart.yaml")).unwrap();
    let version = format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(chart.contains(&version), "{version} in {chart}");
}
