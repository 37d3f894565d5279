//! Metrics: read a snapshot of the agent, produce points that OTLP and Prometheus carry alike.

use observer_core::{
    engine::view::{ReleaseView, WorkloadView},
    identity::Resource,
    semconv,
    time::{SECOND, WallTime},
};

use crate::agent::Snapshot;

mod counts;
mod own;
mod run;
#[cfg(test)]
mod tests;

pub use own::{OWN, own};

use counts::counts;
use run::run;

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

fn is_recent(release: &ReleaseView, now: WallTime) -> bool {
    now.0.saturating_sub(release.last_seen.0) < LINGER
}

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
    let recent = |workload: &&WorkloadView| workload.releases.iter().any(|release| is_recent(release, snapshot.now));
    for workload in snapshot.workloads.iter().filter(recent) {
        groups.push(Group {
            resource: service(workload, &snapshot.agent.host),
            since: snapshot.counting_since.0,
            points: counts(workload, snapshot.now),
        });
        let runs = workload.slots.iter();
        groups.extend(runs.filter_map(|slot| run(slot, &workload.workload, snapshot.now)));
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
