//! Counts of a workload: reads what was seen of its versions, produces points that survive the replacement of containers.

use std::collections::BTreeMap;

use observer_core::{
    engine::view::{ReleaseView, WorkloadView},
    exit::Cause,
    semconv::{
        self,
        metric::{self, attribute},
    },
    time::{SECOND, WallTime},
};

use super::{
    point::{Point, counter, gauge, point},
    run::label,
};

/// Causes whose count is there before the first such end: a counter that begins at 1 has not risen, as far as a rate can
/// tell, and the first death is the one to hear of.
const DEATHS_OF_MEMORY: [Cause; 3] = [Cause::KernelOom, Cause::UserspaceOom, Cause::V8HeapOom];

/// Nanoseconds for which a workload without a run in progress keeps its counts: long enough that the last end is seen
/// by every scraper.
pub(super) const LINGER: u64 = 900 * SECOND;

pub(super) fn is_recent(release: &ReleaseView, now: WallTime) -> bool {
    now.0.saturating_sub(release.last_seen.0) < LINGER
}

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
    let mut versions: BTreeMap<&str, (u64, BTreeMap<Cause, u64>)> = BTreeMap::new();
    for release in workload.releases.iter().filter(|release| is_recent(release, now)) {
        let version = release.version.as_ref().map_or("", |version| version.0.as_str());
        let none = || (u64::MAX, DEATHS_OF_MEMORY.map(|cause| (cause, 0)).into());
        let (first_seen, ends) = versions.entry(version).or_insert_with(none);
        *first_seen = release.first_seen.0.min(*first_seen);
        for (cause, count) in &release.ends {
            *ends.entry(*cause).or_insert(0) += count;
        }
    }
    for (version, (first_seen, ends)) in versions {
        let mut attributes = vec![(attribute::WORKLOAD, name.as_str())];
        attributes.extend((!version.is_empty()).then_some((semconv::SERVICE_VERSION, version)));
        points.push(point(
            gauge(metric::VERSION_FIRST_SEEN, "s"),
            &attributes,
            first_seen as f64 / 1e9,
        ));
        for (cause, count) in ends {
            let mut attributes = attributes.clone();
            attributes.push((semconv::EXIT_CAUSE, cause.name()));
            points.push(point(
                counter(metric::CONTAINER_EXITS, "{run}"),
                &attributes,
                count as f64,
            ));
        }
    }
    points
}
