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
            run: Some(run),
            end,
            version: metrics.image.as_deref(),
            kind,
            heap_limit: None,
        };
        ear.row(&row);
        replay.row(&row, &mut |series, said| ear.said(series, said));
        ear.judged(&row, replay);
    }
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
