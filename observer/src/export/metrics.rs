//! Metrics: read a snapshot of the agent, produce points that OTLP and Prometheus carry alike.

use observer_core::{
    detect::State,
    engine::view::{SlotView, WorkloadView},
    identity::Resource,
    semconv::{self, metric},
    telemetry::ceiling_kind,
};

use crate::agent::Snapshot;

/// How points of a metric add up over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level.
    Gauge,
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

/// All points: each run in progress under its own Resource, each workload's counts under the service's, the agent's
/// under the agent's. Only what lives has series: ten thousand dead containers leave none.
pub fn groups(snapshot: &Snapshot) -> Vec<Group> {
    let mut groups = vec![Group {
        resource: agent_resource(&snapshot.agent.host),
        points: agent(snapshot),
    }];
    for workload in &snapshot.workloads {
        groups.push(Group {
            resource: service(workload),
            points: counts(workload),
        });
        groups.extend(workload.slots.iter().filter_map(run));
    }
    groups.retain(|group| !group.points.is_empty());
    groups
}

/// The agent's own Resource.
pub fn agent_resource(host: &str) -> Resource {
    [
        (semconv::SERVICE_NAME, "observer"),
        (semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        (semconv::SERVICE_INSTANCE_ID, host),
        (semconv::HOST_NAME, host),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn service(workload: &WorkloadView) -> Resource {
    let mut resource = Resource::from([(semconv::SERVICE_NAME.to_owned(), workload.service.clone())]);
    if let Some(namespace) = &workload.workload.namespace {
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
    let mut points = vec![point(counter(metric::RUNS, "{run}"), &[], runs as f64)];
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
    add(gauge(metric::CONTAINER_MEMORY_USAGE, "By"), &[], bytes(run.usage));
    add(gauge(metric::MEMORY_LEVEL, "By"), &[], bytes(run.level));
    if let Some(ceiling) = run.ceiling {
        let kind = [(semconv::CEILING_KIND, ceiling_kind(ceiling.kind))];
        add(gauge(metric::MEMORY_CEILING, "By"), &kind, bytes(Some(ceiling.bytes)));
    }
    add(gauge(metric::MEMORY_SLOPE, "By/h"), &[], slot.slope_bytes_per_hour);
    add(gauge(metric::MEMORY_TIME_TO_CEILING, "s"), &[], slot.time_to_ceiling_s);
    add(gauge(metric::LEAK_STATE, ""), &[], Some(state_number(slot.state)));
    let mut resource = run.resource.clone();
    // Two containers of one service would otherwise be one series with two values.
    resource
        .entry(semconv::SERVICE_INSTANCE_ID.to_owned())
        .or_insert_with(|| format!("{}#{}", slot.slot, slot.instance));
    Some(Group { resource, points })
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

fn agent(snapshot: &Snapshot) -> Vec<Point> {
    let agent = &snapshot.agent;
    let mut points = vec![
        point(gauge(metric::AGENT_PROCESSES, "{process}"), &[], agent.processes as f64),
        point(
            gauge(metric::AGENT_CONTAINERS, "{container}"),
            &[],
            agent.containers as f64,
        ),
        point(counter(metric::AGENT_INPUTS, "{input}"), &[], agent.inputs as f64),
        point(counter(metric::AGENT_LATE, "{input}"), &[], agent.late as f64),
        point(counter(metric::AGENT_FINDINGS, "{finding}"), &[], agent.findings as f64),
        point(gauge(metric::AGENT_SWEEP, "s"), &[], agent.sweep_s),
        point(gauge(metric::PROCESS_MEMORY_USAGE, "By"), &[], agent.memory as f64),
        point(counter(metric::PROCESS_CPU_TIME, "s"), &[], agent.cpu_s),
    ];
    for lost in &agent.lost {
        let told = [(metric::STAGE, lost.stage.as_str()), (metric::KIND, lost.kind.as_str())];
        points.push(point(counter(metric::AGENT_LOST, "{record}"), &told, lost.count as f64));
    }
    for (kind, count) in &agent.evicted {
        points.push(point(
            counter(metric::AGENT_EVICTED, "{entry}"),
            &[(metric::KIND, kind)],
            *count as f64,
        ));
    }
    for (hook, rung) in &agent.hooks {
        points.push(point(
            gauge(metric::AGENT_HOOK, ""),
            &[(metric::HOOK, hook), (metric::RUNG, rung)],
            1.0,
        ));
    }
    for lane in &agent.export {
        let signal = (metric::SIGNAL, lane.signal.as_str());
        points.push(point(
            gauge(metric::EXPORT_WAITING, "{record}"),
            &[signal],
            lane.waiting as f64,
        ));
        for (fate, count) in [
            ("delivered", lane.delivered),
            ("rejected", lane.rejected),
            ("refused", lane.refused),
            ("dropped", lane.dropped),
        ] {
            points.push(point(
                counter(metric::EXPORT_RECORDS, "{record}"),
                &[signal, (metric::FATE, fate)],
                count as f64,
            ));
        }
    }
    points
}
