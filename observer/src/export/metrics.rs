//! Metrics: read a snapshot of the agent, produce points that OTLP and Prometheus carry alike.

use observer_common::growth::Place;
use observer_core::{
    detect::State,
    engine::view::{SlotView, WorkloadView},
    identity::{Resource, Slot},
    semconv::{self, metric, metric::attribute},
    telemetry::ceiling_kind,
    time::SECOND,
};

use crate::agent::Snapshot;

mod own;
#[cfg(test)]
mod tests;

pub use own::{OWN, own};

/// How points of a metric add up: over time, and over the things they are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level of which sums say nothing.
    Gauge,
    /// A level that adds up: an UpDownCounter of the conventions, a sum that is not monotonic on the wire.
    UpDown,
    /// A count since a start: it only rises.
    Counter,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name, of [`semconv::metric`].
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// Level or count.
    pub kind: Kind,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Of what.
    pub metric: Metric,
    /// Told apart by.
    pub attributes: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The points of one Resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The Resource.
    pub resource: Resource,
    /// Since when its counters count, nanoseconds since 1970.
    pub since: u64,
    /// Its points.
    pub points: Vec<Point>,
}

const fn gauge(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::Gauge,
    }
}

const fn up_down(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::UpDown,
    }
}

const fn counter(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::Counter,
    }
}

fn point(metric: Metric, attributes: &[(&'static str, &str)], value: f64) -> Point {
    let attributes = attributes
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Point {
        metric,
        attributes,
        value,
    }
}

/// Nanoseconds for which a workload without a run in progress keeps its counts: long enough that the last end is seen
/// by every scraper.
const LINGER: u64 = 900 * SECOND;

/// All points: the agent's under the agent's Resource first, each run in progress under its own, each workload's counts
/// under the service's. What has ended keeps no series: ten thousand dead containers leave none.
pub fn groups(snapshot: &Snapshot) -> Vec<Group> {
    let mut groups = vec![Group {
        resource: agent_resource(&snapshot.agent.host),
        since: snapshot.began.0,
        points: own(&snapshot.agent),
    }];
    groups.extend(workloads(snapshot));
    groups
}

/// Those of the observed.
pub fn workloads(snapshot: &Snapshot) -> Vec<Group> {
    let mut groups = Vec::new();
    let recent = |workload: &&WorkloadView| {
        let seen = workload.releases.iter().map(|release| release.last_seen.0).max();
        seen.is_some_and(|seen| snapshot.now.0.saturating_sub(seen) < LINGER)
    };
    for workload in snapshot.workloads.iter().filter(recent) {
        groups.push(Group {
            resource: service(workload, &snapshot.agent.host),
            since: snapshot.counting_since.0,
            points: counts(workload),
        });
        groups.extend(workload.slots.iter().filter_map(run));
    }
    groups.retain(|group| !group.points.is_empty());
    groups
}

/// The agent's own Resource: what its environment says in `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` wins.
pub fn agent_resource(host: &str) -> Resource {
    let told = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let own = [
        (semconv::SERVICE_NAME, "observer"),
        (semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        (semconv::SERVICE_INSTANCE_ID, host),
        (semconv::HOST_NAME, host),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.into_iter()
        .chain(told_attributes(&told))
        .chain(name.map(|name| (semconv::SERVICE_NAME.to_owned(), name)))
        .collect()
}

/// `key=value,...`, percent-encoded (OpenTelemetry specification, Resource SDK): all of them, or none where one cannot be
/// read, as the specification asks.
fn told_attributes(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let part = percent_encoding::percent_decode_str(part.trim());
        part.decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let read = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
    });
    read.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The service as this host sees it: hosts count side by side, so each has an instance of its own.
fn service(workload: &WorkloadView, host: &str) -> Resource {
    let mut resource = Resource::from([
        (semconv::SERVICE_NAME.to_owned(), workload.service.clone()),
        (semconv::SERVICE_INSTANCE_ID.to_owned(), host.to_owned()),
        (semconv::HOST_NAME.to_owned(), host.to_owned()),
    ]);
    if let Some(namespace) = &workload.service_namespace {
        resource.insert(semconv::SERVICE_NAMESPACE.to_owned(), namespace.clone());
    }
    resource
}

fn counts(workload: &WorkloadView) -> Vec<Point> {
    let mut ends = std::collections::BTreeMap::new();
    for (cause, count) in workload.releases.iter().flat_map(|release| &release.ends) {
        *ends.entry(*cause).or_insert(0) += count;
    }
    let runs: u64 = workload.releases.iter().map(|release| release.runs).sum();
    let mut points = vec![
        point(counter(metric::RUNS, "{run}"), &[], runs as f64),
        point(counter(metric::RESTARTS, "{restart}"), &[], workload.restarts as f64),
        point(counter(metric::OOM_KILLS, "{process}"), &[], workload.oom_kills as f64),
    ];
    points.extend(ends.into_iter().map(|(cause, count)| {
        let cause = [(semconv::EXIT_CAUSE, cause.name())];
        point(counter(metric::CONTAINER_EXITS, "{run}"), &cause, count as f64)
    }));
    points
}

fn run(slot: &SlotView) -> Option<Group> {
    let run = slot.current.as_ref()?;
    let mut points = Vec::new();
    let mut add = |metric: Metric, attributes: &[(&'static str, &str)], value: Option<f64>| {
        points.extend(value.map(|value| point(metric, attributes, value)));
    };
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    // Without a cgroup of its own a run has no levels of a container.
    if let Some(working_set) = run.working_set {
        let available = run.cgroup_limit.map(|limit| limit.saturating_sub(working_set));
        add(up_down(metric::CONTAINER_MEMORY_USAGE, "By"), &[], bytes(run.usage));
        add(
            up_down(metric::CONTAINER_MEMORY_WORKING_SET, "By"),
            &[],
            bytes(Some(working_set)),
        );
        add(up_down(metric::CONTAINER_MEMORY_RSS, "By"), &[], bytes(run.anon));
        add(up_down(metric::CONTAINER_MEMORY_AVAILABLE, "By"), &[], bytes(available));
    }
    add(up_down(metric::PROCESS_MEMORY_USAGE, "By"), &[], bytes(run.rss));
    add(gauge(metric::MEMORY_LEVEL, "By"), &[], bytes(run.level));
    if let Some(ceiling) = run.ceiling {
        let kind = [(semconv::CEILING_KIND, ceiling_kind(ceiling.kind))];
        add(gauge(metric::MEMORY_CEILING, "By"), &kind, bytes(Some(ceiling.bytes)));
    }
    add(gauge(metric::MEMORY_SLOPE, "By/h"), &[], slot.slope_bytes_per_hour);
    add(
        gauge(metric::MEMORY_SLOPE_STANDARD_ERROR, "By/h"),
        &[],
        slot.slope_standard_error,
    );
    for (place, net) in Place::ALL.into_iter().zip(run.growth.iter().flatten()) {
        let told = [(attribute::WHERE, place_name(place))];
        add(gauge(metric::MEMORY_GROWTH, "By"), &told, Some(*net as f64));
    }
    if matches!(slot.slot, Slot::Pod { .. }) {
        add(up_down(metric::K8S_MEMORY_LIMIT, "By"), &[], bytes(run.cgroup_limit));
        let restarts = run.restart_count.map(f64::from);
        add(up_down(metric::K8S_RESTART_COUNT, "{restart}"), &[], restarts);
    }
    add(gauge(metric::MEMORY_TIME_TO_CEILING, "s"), &[], slot.time_to_ceiling_s);
    add(gauge(metric::LEAK_STATE, ""), &[], Some(state_number(slot.state)));
    let mut resource = run.resource.clone();
    // Two containers of one service would otherwise be one series with two values.
    resource
        .entry(semconv::SERVICE_INSTANCE_ID.to_owned())
        .or_insert_with(|| format!("{}#{}", slot.slot, slot.instance));
    Some(Group {
        resource,
        since: run.started.0,
        points,
    })
}

const fn place_name(place: Place) -> &'static str {
    match place {
        Place::V8Heap => "v8_heap",
        Place::Malloc => "malloc",
        Place::LargeBuffer => "large_buffer",
        Place::File => "file",
        Place::Other => "other",
    }
}

fn state_number(state: State) -> f64 {
    match state {
        State::Quiet => 0.0,
        State::Suspected => 1.0,
        State::Likely => 2.0,
        State::Confirmed => 3.0,
        State::Retracted => 4.0,
        State::Resolved => 5.0,
    }
}
