//! `--format prometheus`: reads answers of Prometheus range queries, produces findings.
//!
//! The file holds the bodies of one or several `/api/v1/query_range` answers, one after another. Series are told apart by
//! namespace, pod and container. Names that are understood, all of cAdvisor and kube-state-metrics:
//! `container_memory_rss` (else `container_memory_working_set_bytes`), `container_memory_swap`, `container_memory_cache`,
//! `container_spec_memory_limit_bytes` or `kube_pod_container_resource_limits{resource="memory"}`,
//! `container_cpu_usage_seconds_total`, `kube_pod_container_status_restarts_total` (else `container_start_time_seconds`),
//! `kube_pod_container_status_last_terminated_reason`, `kube_pod_info` (the owner's kind). A container's `image` label is
//! its version. Others are counted and left out. Where kube-state-metrics' own labels come before those it tells of,
//! `exported_namespace`, `exported_pod` and `exported_container` are taken.

use std::{collections::BTreeMap, path::Path};

use observer_core::detect::replay::Replay;

pub mod answer;
pub mod container;
mod track;

use super::{HistoryError, HistorySink, Progress, Source, Summary};
use container::{Container, Kinds, Place};

/// Reads the answers in `file` for one who listens to their rows and to what is said of them.
pub fn read(file: &Path, time_scale: Option<f64>, ear: &mut dyn HistorySink) -> Result<Summary, HistoryError> {
    let source = Source::open(file)?;
    let mut progress = Progress::of(&source);
    let refused = |why: String| HistoryError::Prometheus {
        file: file.to_owned(),
        why,
    };
    let mut containers: BTreeMap<Place, Container> = BTreeMap::new();
    let mut kinds = Kinds::new();
    let mut summary = Summary::default();
    for answer in answer::of_reader(source.inner) {
        let answer = answer.map_err(|error| refused(error.to_string()))?;
        if answer.status != "success" {
            return Err(refused(
                answer
                    .error
                    .unwrap_or_else(|| format!("its status is {:?}", answer.status)),
            ));
        }
        for series in answer.data.map(|data| data.result).unwrap_or_default() {
            summary.rows += series.values.count;
            if let Err(why) = container::sort(series, &mut containers, &mut kinds) {
                let number = summary.malformed + 1;
                summary.malformed(number, why);
            }
            progress.tick(summary.rows);
        }
    }
    let mut replay = Replay::new(time_scale);
    for (place, metrics) in &containers {
        let kind = kinds.get(&(place.namespace.clone(), place.pod.clone()));
        metrics.judge(&place.name(), kind.map(String::as_str), &mut replay, ear);
    }
    replay.finish(&mut |series, said| ear.said(series, said));
    summary.close(&replay);
    Ok(summary)
}

#[cfg(test)]
mod tests;
