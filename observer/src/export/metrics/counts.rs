//! Counts of a workload: reads what was seen of its versions, produces points that survive the replacement of containers.

use std::collections::BTreeMap;

use observer_core::{
    engine::view::WorkloadView,
    semconv::{
        self,
        metric::{self, attribute},
    },
    time::WallTime,
};

use super::{Point, counter, gauge, is_recent, point, run::label};

/// Totals of the workload, and of each version that runs or ran lately: when it was first seen and how its runs ended.
pub(super) fn counts(workload: &WorkloadView, now: WallTime) -> Vec<Point> {
    let name = label(&workload.workload);
    let whole = [(attribute::WORKLOAD, name.as_str())];
    let runs: u64 = workload.releases.iter().map(|release| release.runs).sum();
    let mut points = vec![
        point(counter(metric::RUNS, "{run}"), &whole, runs as f64),
        point(counter(metric::RESTARTS, "{restart}"), &whole, workload.restarts as f64),
        point(
            counter(metric::OOM_KILLS, "{process}"),
            &whole,
            workload.oom_kills as f64,
        ),
    ];
    // Releases of one version that differ in their image or template only are one to people.
    let mut versions: BTreeMap<&str, (u64, BTreeMap<_, u64>)> = BTreeMap::new();
    for release in workload.releases.iter().filter(|release| is_recent(release, now)) {
        let version = release.version.as_ref().map_or("", |version| version.0.as_str());
        let (first_seen, ends) = versions.entry(version).or_insert((u64::MAX, BTreeMap::new()));
        *first_seen = release.first_seen.0.min(*first_seen);
        for (cause, count) in &release.ends {
            *ends.entry(*cause).or_insert(0) += count;
        }
    }
    for (version, (first_seen, ends)) in versions {
        let mut told = vec![(attribute::WORKLOAD, name.as_str())];
        told.extend((!version.is_empty()).then_some((semconv::SERVICE_VERSION, version)));
        points.push(point(
            gauge(metric::VERSION_FIRST_SEEN, "s"),
            &told,
            first_seen as f64 / 1e9,
        ));
        for (cause, count) in ends {
            let mut told = told.clone();
            told.push((semconv::EXIT_CAUSE, cause.name()));
            points.push(point(counter(metric::CONTAINER_EXITS, "{run}"), &told, count as f64));
        }
    }
    points
}
