//! Answers of Prometheus as they come: several containers of one name, lives with their own cgroups, gaps, stale values.

use serde_json::{Value, json};

use super::*;
use crate::history::{Output, replay};

const START: i64 = 1_700_000_000;

/// A series of the container `cart`, with other labels where `more` has them.
fn series(name: &str, more: &[(&str, &str)], values: &[(i64, f64)]) -> Value {
    let mut metric = json!({"__name__": name, "namespace": "shop", "pod": "cart-0", "container": "cart"});
    for (label, value) in more {
        metric[label] = json!(value);
    }
    let values: Vec<_> = values.iter().map(|(t, value)| json!([t, value.to_string()])).collect();
    json!({"metric": metric, "values": values})
}

fn answer(result: &[Value]) -> Value {
    json!({"status": "success", "data": {"resultType": "matrix", "result": result}})
}

/// A value a minute.
fn each(minutes: std::ops::Range<i64>, f: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    minutes.map(|i| (START + i * 60, f(i))).collect()
}

/// 64 to 512 MB in six hours.
fn level(minute: i64) -> f64 {
    (64 + (minute % 360) * 448 / 360) as f64 * 1e6
}

fn judged(answers: &[Value]) -> (Vec<Value>, Summary) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: Vec<String> = answers.iter().map(Value::to_string).collect();
    std::fs::write(file.path(), text.join("\n")).unwrap();
    let mut out = Vec::new();
    let summary = replay(read, file.path(), Output::Json, None, &mut out).unwrap();
    let lines = String::from_utf8(out).unwrap();
    (
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        summary,
    )
}

fn states(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["state"].as_str().unwrap()).collect()
}

#[test]
fn an_oom_killed_container_of_two_answers() {
    let memory = answer(&[
        series(
            "container_memory_rss",
            &[("image", "shop/cart:1.4")],
            &each(0..720, level),
        ),
        series("container_spec_memory_limit_bytes", &[], &each(0..720, |_| 512e6)),
        series("container_memory_rss", &[("container", "POD")], &each(0..720, |_| 1e6)),
        series("container_memory_rss", &[("container", "")], &each(0..720, |_| 9e6)),
    ]);
    let reason = "kube_pod_container_status_last_terminated_reason";
    let state = answer(&[
        series(
            "kube_pod_container_status_restarts_total",
            &[],
            &each(0..720, |i| (i / 360) as f64),
        ),
        series(
            reason,
            &[("reason", "OOMKilled")],
            &each(0..720, |i| f64::from(i >= 360)),
        ),
        series(
            "kube_pod_info",
            &[("created_by_kind", "ReplicaSet")],
            &each(0..720, |_| 1.0),
        ),
        series("up", &[], &each(0..720, |_| 1.0)),
    ]);
    let (lines, summary) = judged(&[memory, state]);
    // The second death is not in the data: only one is known.
    assert_eq!(states(&lines), ["suspected", "likely"]);
    assert_eq!(lines[0]["series"], "shop/cart-0/cart");
    assert_eq!(lines[1]["evidence"]["first_version"], "shop/cart:1.4");
    assert_eq!((summary.series, summary.malformed), (1, 1));
    assert!(summary.named[0].contains("up is not used"), "{:?}", summary.named);
}

/// As cAdvisor really tells it: each life is a cgroup of its own with its own `id` label and its own CPU counter, old
/// ones linger beside the new for some minutes, another container of the pod has the same name elsewhere, scrapes are
/// missing, and stale markers are left out of the answer or stand in it as NaN.
#[test]
fn lives_with_their_own_cgroups_gaps_and_stale_values() {
    let mut result = Vec::new();
    for life in 0..3i64 {
        let id = format!("/kubepods/pod7/{life}");
        // It lingers for three minutes at the value of its last moment, then goes stale.
        let mut rss: Vec<(i64, f64)> = each(life * 360..life * 360 + 360, level);
        rss.retain(|(t, _)| (t / 60) % 17 != 0);
        let last = rss.last().map_or(0.0, |last| last.1);
        rss.extend(each(life * 360 + 360..life * 360 + 363, |i| {
            if i % 3 == 2 { f64::NAN } else { last * 0.1 }
        }));
        let cpu = each(life * 360..life * 360 + 360, |i| 100.0 + (i - life * 360) as f64 * 12.0);
        let labels = [("id", id.as_str()), ("name", id.as_str()), ("image", "shop/cart:1.4")];
        result.push(series("container_memory_rss", &labels, &rss));
        result.push(series("container_cpu_usage_seconds_total", &labels, &cpu));
    }
    // The same name in another pod and another namespace: series of their own, flat.
    result.push(series(
        "container_memory_rss",
        &[("pod", "cart-1")],
        &each(0..1_080, |_| 90e6),
    ));
    result.push(series(
        "container_memory_rss",
        &[("namespace", "test")],
        &each(0..1_080, |_| 70e6),
    ));
    let limits = answer(&[
        series(
            "kube_pod_container_resource_limits",
            &[("resource", "memory"), ("unit", "byte")],
            &each(0..1_080, |_| 512e6),
        ),
        series(
            "kube_pod_container_resource_limits",
            &[("resource", "cpu"), ("unit", "core")],
            &each(0..1_080, |_| 1.0),
        ),
        series(
            "kube_pod_container_status_restarts_total",
            &[],
            &each(0..1_080, |i| (i / 360) as f64),
        ),
        series(
            "kube_pod_container_status_last_terminated_reason",
            &[("reason", "OOMKilled")],
            &each(360..1_080, |_| 1.0),
        ),
    ]);
    let (lines, summary) = judged(&[answer(&result), limits]);
    assert_eq!(summary.series, 3);
    assert!(
        lines.iter().all(|line| line["series"] == "shop/cart-0/cart"),
        "{lines:?}"
    );
    assert_eq!(states(&lines), ["suspected", "likely", "confirmed"]);
}

/// A counter of restarts that begins anew with a new pod of a StatefulSet, and a container that is only known by when
/// it started.
#[test]
fn restarts_told_by_the_start_time_and_a_counter_that_falls() {
    let started = |i: i64| (START + i / 360 * 21_600) as f64;
    for (name, told) in [
        ("container_start_time_seconds", each(0..1_080, started)),
        (
            "kube_pod_container_status_restarts_total",
            each(0..1_080, |i| [5.0, 0.0, 1.0][(i / 360) as usize]),
        ),
    ] {
        let (lines, _) = judged(&[answer(&[
            series("container_memory_working_set_bytes", &[], &each(0..1_080, level)),
            series("container_spec_memory_limit_bytes", &[], &each(0..1_080, |_| 512e6)),
            series(name, &[], &told),
        ])]);
        assert_eq!(states(&lines), ["suspected", "likely", "confirmed"], "{name}");
    }
}

#[test]
fn an_error_answer_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution"}"#;
    std::fs::write(file.path(), text).unwrap();
    let error = replay(read, file.path(), Output::Json, None, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("maximum resolution"), "{error}");
}

/// What each metric is needed for: docs/audit.md tells the same.
#[test]
fn what_is_lost_without_a_metric() {
    let all = || {
        vec![
            series("container_memory_rss", &[], &each(0..1_440, level)),
            series("container_memory_working_set_bytes", &[], &each(0..1_440, level)),
            series("container_spec_memory_limit_bytes", &[], &each(0..1_440, |_| 512e6)),
            series(
                "kube_pod_container_status_restarts_total",
                &[],
                &each(0..1_440, |i| (i / 360) as f64),
            ),
            series(
                "container_start_time_seconds",
                &[],
                &each(0..1_440, |i| (START + i / 360 * 21_600) as f64),
            ),
            series(
                "kube_pod_container_status_last_terminated_reason",
                &[("reason", "OOMKilled")],
                &each(360..1_440, |_| 1.0),
            ),
        ]
    };
    let without = |names: &[&str]| {
        let rest: Vec<Value> = all()
            .into_iter()
            .filter(|series| !names.contains(&series["metric"]["__name__"].as_str().unwrap()))
            .collect();
        judged(&[answer(&rest)]).0
    };
    let limit = "container_spec_memory_limit_bytes";
    let restarts = "kube_pod_container_status_restarts_total";
    let started = "container_start_time_seconds";
    let reason = "kube_pod_container_status_last_terminated_reason";
    let sawtooth = ["suspected", "likely", "confirmed"];
    let expected: [(&[&str], &[&str]); 8] = [
        (&[], &sawtooth),
        (&["container_memory_rss"], &sawtooth),
        (&[restarts], &sawtooth),
        (&[reason], &sawtooth),
        // Nothing is foretold before a first death shows where the ceiling is.
        (&[limit], &["likely", "confirmed"]),
        (&[limit, reason], &["confirmed"]),
        // A restart looks like memory given back.
        (&[restarts, started], &["suspected", "likely", "retracted"]),
        (&["container_memory_rss", "container_memory_working_set_bytes"], &[]),
    ];
    for (missing, said) in expected {
        assert_eq!(states(&without(missing)), said, "{missing:?}");
    }
}
