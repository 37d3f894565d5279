//! Prometheus text: reads metric points, produces the exposition format, with the names that Prometheus itself gives
//! the same points when they come over OTLP (OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility").

use std::{collections::BTreeMap, fmt::Write as _};

use observer_core::{identity::Resource, semconv, telemetry};

use super::metrics::{Group, Kind, Metric};

/// One line per point under a `# TYPE` per metric, and a `target_info` per Resource.
pub fn text(groups: &[Group]) -> String {
    let mut families: BTreeMap<String, (&'static str, Vec<String>)> = BTreeMap::new();
    for group in groups {
        let target = target(&group.resource);
        let mut info = target.clone();
        info.extend(
            group
                .resource
                .iter()
                .filter(|(name, _)| !is_target(name))
                .map(|(name, value)| (sanitize(name), text_of(name, value))),
        );
        // A Resource that says no more than job and instance has nothing to add.
        if info.len() > target.len() {
            let (_, lines) = families
                .entry("target_info".to_owned())
                .or_insert(("gauge", Vec::new()));
            lines.push(line("target_info", &info, 1.0));
        }
        for point in &group.points {
            let name = name(point.metric);
            let mut labels = target.clone();
            labels.extend(
                point
                    .attributes
                    .iter()
                    .map(|(name, value)| (sanitize(name), value.clone())),
            );
            let kind = match point.metric.kind {
                Kind::Gauge | Kind::UpDown => "gauge",
                Kind::Counter => "counter",
            };
            let (_, lines) = families.entry(name.clone()).or_insert((kind, Vec::new()));
            lines.push(line(&name, &labels, point.value));
        }
    }
    let mut text = String::new();
    for (name, (kind, mut lines)) in families {
        lines.sort();
        lines.dedup();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE {name} {kind}");
        lines.iter().for_each(|line| text.push_str(line));
    }
    text
}

/// A list is its JSON, which is what Prometheus makes of one that comes over OTLP.
fn text_of(name: &str, value: &str) -> String {
    if telemetry::is_list(name) {
        serde_json::json!([value]).to_string()
    } else {
        value.to_owned()
    }
}

/// `job` is `service.namespace/service.name`, `instance` is `service.instance.id`.
fn target(resource: &Resource) -> BTreeMap<String, String> {
    let get = |name: &str| resource.get(name).map(String::as_str);
    let mut labels = BTreeMap::new();
    if let Some(service) = get(semconv::SERVICE_NAME) {
        let job =
            get(semconv::SERVICE_NAMESPACE).map_or_else(|| service.to_owned(), |space| format!("{space}/{service}"));
        labels.insert("job".to_owned(), job);
    }
    if let Some(instance) = get(semconv::SERVICE_INSTANCE_ID) {
        labels.insert("instance".to_owned(), instance.to_owned());
    }
    labels
}

fn is_target(name: &str) -> bool {
    [
        semconv::SERVICE_NAME,
        semconv::SERVICE_NAMESPACE,
        semconv::SERVICE_INSTANCE_ID,
    ]
    .contains(&name)
}

/// The name with its unit spelled out, and `_total` for counters.
fn name(metric: Metric) -> String {
    let mut name = sanitize(metric.name);
    let unit = match metric.unit {
        "By" => "bytes",
        "By/h" => "bytes_per_hour",
        "s" => "seconds",
        // Units in braces are annotations and leave no trace.
        _ => "",
    };
    if !unit.is_empty() && !name.ends_with(unit) {
        let _ = write!(name, "_{unit}");
    }
    if metric.kind == Kind::Counter && !name.ends_with("_total") {
        name.push_str("_total");
    }
    name
}

fn sanitize(name: &str) -> String {
    let mut clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) {
        clean.insert(0, '_');
    }
    clean
}

fn line(name: &str, labels: &BTreeMap<String, String>, value: f64) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    if labels.is_empty() {
        format!("{name} {value}\n")
    } else {
        format!("{name}{{{}}} {value}\n", labels.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::metrics::Point, *};

    #[test]
    fn names_units_and_labels_follow_the_compatibility_rules() {
        let metric = |name, unit, kind| Metric { name, unit, kind };
        let point = |metric, attributes, value| Point {
            metric,
            attributes,
            value,
        };
        let resource = [
            ("service.name", "shop"),
            ("service.namespace", "prod"),
            ("host.name", "a\"b\\c\n"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let group = Group {
            since: 0,
            resource: Resource::from(resource),
            points: vec![
                point(metric("a.memory.usage", "By", Kind::UpDown), vec![], 1.5),
                point(
                    metric("a.exits", "{run}", Kind::Counter),
                    vec![("exit.cause", "kernel_oom".into())],
                    3.0,
                ),
                point(metric("a.cpu.time", "s", Kind::Counter), vec![], 2.0),
            ],
        };
        expect_test::expect![[r#"
            # TYPE a_cpu_time_seconds_total counter
            a_cpu_time_seconds_total{job="prod/shop"} 2
            # TYPE a_exits_total counter
            a_exits_total{exit_cause="kernel_oom",job="prod/shop"} 3
            # TYPE a_memory_usage_bytes gauge
            a_memory_usage_bytes{job="prod/shop"} 1.5
            # TYPE target_info gauge
            target_info{host_name="a\"b\\c\n",job="prod/shop"} 1
        "#]]
        .assert_eq(&text(&[group]));
    }
}
