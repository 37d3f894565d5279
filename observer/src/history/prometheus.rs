//! `--format prometheus`: reads answers of Prometheus range queries, produces findings.
//!
//! The file holds the bodies of one or several `/api/v1/query_range` answers, one after another. Series are told apart by
//! namespace, pod and container. Names that are understood, all of cAdvisor and kube-state-metrics:
//! `container_memory_rss` (else `container_memory_working_set_bytes`), `container_memory_swap`, `container_memory_cache`,
//! `container_spec_memory_limit_bytes` or `kube_pod_container_resource_limits{resource="memory"}`,
//! `container_cpu_usage_seconds_total`, `kube_pod_container_status_restarts_total` (else `container_start_time_seconds`),
//! `kube_pod_container_status_last_terminated_reason`, `kube_pod_info` (the owner's kind). A container's `image` label is
//! its version. Others are counted and left out.

use std::{collections::BTreeMap, io::BufReader, path::Path};

use observer_core::{
    detect::replay::{Replay, Row},
    exit::Cause,
};
use serde::Deserialize;

use super::{Ear, HistoryError, Progress, Source, Summary};

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// (namespace, pod, container)
type Place = (String, String, String);

/// What one container's metrics say, by time in milliseconds.
#[derive(Default)]
struct Container {
    rss: BTreeMap<i64, f64>,
    working_set: BTreeMap<i64, f64>,
    swap: BTreeMap<i64, f64>,
    cache: BTreeMap<i64, f64>,
    limit: BTreeMap<i64, f64>,
    cpu: BTreeMap<i64, f64>,
    restarts: BTreeMap<i64, f64>,
    started: BTreeMap<i64, f64>,
    reasons: BTreeMap<i64, Cause>,
    image: Option<String>,
}

/// Reads the answers in `file` for one who listens to their rows and to what is said of them.
pub fn read(file: &Path, time_scale: Option<f64>, ear: &mut dyn Ear) -> Result<Summary, HistoryError> {
    let source = Source::open(file)?;
    let mut progress = Progress::of(&source);
    let refused = |why: String| HistoryError::Prometheus {
        file: file.to_owned(),
        why,
    };
    let mut containers: BTreeMap<Place, Container> = BTreeMap::new();
    let mut kinds: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut summary = Summary::default();
    let answers =
        serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 18, source.inner)).into_iter::<Answer>();
    for answer in answers {
        let answer = answer.map_err(|error| refused(error.to_string()))?;
        if answer.status != "success" {
            return Err(refused(
                answer
                    .error
                    .unwrap_or_else(|| format!("its status is {:?}", answer.status)),
            ));
        }
        for series in answer.data.map(|data| data.result).unwrap_or_default() {
            summary.rows += series.values.len() as u64;
            if let Err(why) = sort(series, &mut containers, &mut kinds) {
                let number = summary.malformed + 1;
                summary.malformed(number, why);
            }
            progress.tick(summary.rows);
        }
    }
    let mut replay = Replay::new(time_scale);
    for ((namespace, pod, container), metrics) in &containers {
        let name = format!("{namespace}/{pod}/{container}");
        let kind = kinds.get(&(namespace.clone(), pod.clone())).map(String::as_str);
        judge(&name, kind, metrics, &mut replay, ear);
    }
    replay.finish(&mut |series, said| ear.said(series, said));
    summary.close(&replay);
    Ok(summary)
}

/// Puts a series where it belongs.
fn sort(
    series: Series,
    containers: &mut BTreeMap<Place, Container>,
    kinds: &mut BTreeMap<(String, String), String>,
) -> Result<(), String> {
    let label = |name: &str| series.metric.get(name).map_or("", String::as_str);
    let name = label("__name__");
    if name.is_empty() {
        return Err("a series without a name: query the metric itself, not an expression of it".to_owned());
    }
    let either = |a: &str, b: &str| {
        if label(a).is_empty() {
            label(b).to_owned()
        } else {
            label(a).to_owned()
        }
    };
    let (namespace, pod) = (label("namespace").to_owned(), either("pod", "pod_name"));
    if name == "kube_pod_info" {
        kinds.insert((namespace, pod), label("created_by_kind").to_owned());
        return Ok(());
    }
    let container = either("container", "container_name");
    if container == "POD" || (container.is_empty() && label("name").is_empty()) {
        // The pod's sum and its sandbox: the containers' own series hold the same.
        return Ok(());
    }
    let container = if container.is_empty() {
        label("name").to_owned()
    } else {
        container
    };
    let image = label("image").to_owned();
    let reason = label("reason").to_owned();
    let memory = label("resource") == "memory";
    let place = containers.entry((namespace, pod, container)).or_default();
    if !image.is_empty() {
        place.image = Some(image);
    }
    let into = match name {
        "container_memory_rss" => &mut place.rss,
        "container_memory_working_set_bytes" => &mut place.working_set,
        "container_memory_swap" => &mut place.swap,
        "container_memory_cache" => &mut place.cache,
        "container_spec_memory_limit_bytes" => &mut place.limit,
        "kube_pod_container_resource_limits" if memory => &mut place.limit,
        "kube_pod_container_resource_limits" => return Ok(()),
        "container_cpu_usage_seconds_total" => &mut place.cpu,
        "kube_pod_container_status_restarts_total" => &mut place.restarts,
        "container_start_time_seconds" => &mut place.started,
        "kube_pod_container_status_last_terminated_reason" => {
            let cause = match reason.as_str() {
                "OOMKilled" => Cause::KernelOom,
                "Completed" => Cause::Completed,
                "Error" | "ContainerCannotRun" | "DeadlineExceeded" => Cause::ErrorExit,
                _ => Cause::Unknown,
            };
            for (t, value) in &series.values {
                if value.parse::<f64>() == Ok(1.0) {
                    place.reasons.insert((t * 1_000.0) as i64, cause);
                }
            }
            return Ok(());
        }
        other => return Err(format!("{other} is not used")),
    };
    for (t, value) in series.values {
        match value.parse::<f64>() {
            Ok(value) if value.is_finite() && t.is_finite() => {
                // Two series of one container (restarts make new cgroups): the larger is the living one, and
                // counters add up to it.
                let held = into.entry((t * 1_000.0) as i64).or_insert(value);
                *held = held.max(value);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The last value at or before `t`.
fn latest<V: Copy>(of: &BTreeMap<i64, V>, t: i64) -> Option<V> {
    of.range(..=t).next_back().map(|(_, value)| *value)
}

fn judge(name: &str, kind: Option<&str>, metrics: &Container, replay: &mut Replay, ear: &mut dyn Ear) {
    let levels = if metrics.rss.is_empty() {
        &metrics.working_set
    } else {
        &metrics.rss
    };
    let restarts = if metrics.restarts.is_empty() {
        &metrics.started
    } else {
        &metrics.restarts
    };
    let run_at = |t: i64| latest(restarts, t).map_or(0, |count| (count * 1_000.0) as i64 as u64);
    let mut before: Option<(i64, f64)> = None;
    let mut times = levels.iter().peekable();
    while let Some((&t, &level)) = times.next() {
        let run = run_at(t);
        let next = times.peek().map(|(t, _)| **t).filter(|next| run_at(*next) != run);
        // Reasons are exported after the fact: the first one told once the next run is there.
        let end = next.map(|next| latest(&metrics.reasons, next + 120_000).unwrap_or(Cause::Unknown));
        let total = latest(&metrics.cpu, t);
        let cpu = match (before, total) {
            (Some((then, held)), Some(now)) if now >= held && t > then => {
                Some((now - held) * 1_000.0 / (t - then) as f64)
            }
            (_, Some(_)) => Some(0.0),
            _ => None,
        };
        before = total.map(|total| (t, total));
        let row = Row {
            series: name,
            t: t as f64 / 1_000.0,
            anon: level + latest(&metrics.swap, t).unwrap_or(0.0),
            file: latest(&metrics.cache, t),
            limit: latest(&metrics.limit, t),
            cpu,
            run,
            end,
            version: metrics.image.as_deref(),
            kind,
            heap_limit: None,
        };
        ear.row(&row);
        replay.row(&row, &mut |series, said| ear.said(series, said));
    }
}

#[cfg(test)]
mod tests {
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
}
