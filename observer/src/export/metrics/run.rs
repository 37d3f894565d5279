//! A run in progress: reads its slot, produces its levels by convention and what a fleet of its like is pooled by.

use observer_common::growth::Place;
use observer_core::{
    detect::State,
    engine::view::{RunView, SlotView},
    identity::{Slot, Workload},
    semconv::{
        self,
        metric::{self, attribute},
    },
    telemetry::ceiling_kind,
    time::WallTime,
};

use super::point::{Group, Metric, Point, gauge, point, up_down};

/// Attributes of a run's Resource that change at its restarts. Events and spans carry them; a series that did
/// would be a new one after every crash.
const OF_ONE_RUN: [&str; 3] = [
    semconv::CONTAINER_ID,
    semconv::K8S_LAST_TERMINATED_REASON,
    semconv::PROCESS_LINUX_CGROUP,
];

/// What is deployed, as an attribute: `shop/Deployment/checkout/api`, `unit/api.service`.
pub(super) fn label(workload: &Workload) -> String {
    let parts = [
        workload.namespace.as_deref(),
        Some(workload.kind.as_str()),
        Some(workload.name.as_str()),
        workload.container.as_deref(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// The points of the run in progress, where there is one.
pub(super) fn run(slot: &SlotView, workload: &Workload, now: WallTime) -> Option<Group> {
    let run = slot.current.as_ref()?;
    let mut points = Vec::new();
    by_convention(slot, run, &mut points);
    to_be_pooled(slot, run, &label(workload), now, &mut points);
    let mut resource = run.resource.clone();
    resource.retain(|name, _| !OF_ONE_RUN.contains(&name.as_str()));
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

fn bytes(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64)
}

/// Levels and counts that have a name in the conventions.
fn by_convention(slot: &SlotView, run: &RunView, points: &mut Vec<Point>) {
    let mut add = |metric: Metric, value: Option<f64>| {
        points.extend(value.map(|value| point(metric, &[], value)));
    };
    // Without a cgroup of its own a run has no levels of a container.
    if let Some(working_set) = run.working_set {
        let available = run.cgroup_limit.map(|limit| limit.saturating_sub(working_set));
        add(up_down(metric::CONTAINER_MEMORY_USAGE, "By"), bytes(run.usage));
        add(
            up_down(metric::CONTAINER_MEMORY_WORKING_SET, "By"),
            bytes(Some(working_set)),
        );
        add(up_down(metric::CONTAINER_MEMORY_RSS, "By"), bytes(run.anon));
        add(up_down(metric::CONTAINER_MEMORY_AVAILABLE, "By"), bytes(available));
    }
    add(up_down(metric::PROCESS_MEMORY_USAGE, "By"), bytes(run.rss));
    if matches!(slot.slot, Slot::Pod { .. }) {
        // Of a container without a limit, the cgroup's is its pod's or the node's.
        let current = run.limit_current.map(|told| run.cgroup_limit.unwrap_or(told));
        add(up_down(metric::K8S_MEMORY_LIMIT, "By"), bytes(current));
        add(
            up_down(metric::K8S_MEMORY_LIMIT_DESIRED, "By"),
            bytes(run.limit_desired),
        );
        let restarts = run.restart_count.map(f64::from);
        add(up_down(metric::K8S_RESTART_COUNT, "{restart}"), restarts);
    }
}

/// What replicas are pooled by. Each point says itself of which workload and version it is: a query joins nothing, and
/// a replica whose version changes in place is never two things at once.
fn to_be_pooled(slot: &SlotView, run: &RunView, workload: &str, now: WallTime, points: &mut Vec<Point>) {
    let mut attributes = vec![(attribute::WORKLOAD, workload)];
    attributes.extend(
        run.version
            .as_ref()
            .map(|version| (semconv::SERVICE_VERSION, version.0.as_str())),
    );
    let mut add = |metric: Metric, also: Option<(&'static str, &str)>, value: Option<f64>| {
        let attributes: Vec<_> = attributes.iter().copied().chain(also).collect();
        points.extend(value.map(|value| point(metric, &attributes, value)));
    };
    add(gauge(metric::MEMORY_LEVEL, "By"), None, bytes(run.level));
    // Until detection has had a point, what the run itself knows.
    let ceilings = if slot.ceilings.is_empty() {
        run.ceiling.as_slice()
    } else {
        &slot.ceilings
    };
    for ceiling in ceilings {
        let kind = (semconv::CEILING_KIND, ceiling_kind(ceiling.kind));
        add(
            gauge(metric::MEMORY_CEILING, "By"),
            Some(kind),
            bytes(Some(ceiling.bytes)),
        );
    }
    if let Some(pace) = &slot.pace {
        for (metric, value) in [
            (gauge(metric::MEMORY_FLOOR, "By"), pace.floor),
            (gauge(metric::MEMORY_SLOPE, "By/h"), pace.slope),
            (gauge(metric::MEMORY_SLOPE_STANDARD_ERROR, "By/h"), pace.standard_error),
            (gauge(metric::MEMORY_SLOPE_LATE, "By/h"), pace.late),
            (gauge(metric::MEMORY_SLOPE_SPAN, "s"), pace.hours * 3_600.0),
        ] {
            add(metric, None, Some(value));
        }
    }
    for (place, net) in Place::ALL.into_iter().zip(run.growth.iter().flatten()) {
        let place = (attribute::WHERE, place_name(place));
        add(gauge(metric::MEMORY_GROWTH, "By"), Some(place), Some(*net as f64));
    }
    let growers = slot.diagnosis.iter().flat_map(|diagnosis| &diagnosis.growers);
    if let Some(culprit) = growers
        .filter(|grower| grower.culprit)
        .max_by_key(|grower| grower.bytes)
    {
        let name = (semconv::HEAP_CULPRIT, culprit.what.as_str());
        add(
            gauge(metric::HEAP_CULPRIT_GROWN, "By"),
            Some(name),
            Some(culprit.bytes as f64),
        );
    }
    let memory = slot.diagnosis.iter().find_map(|diagnosis| diagnosis.memory.as_ref());
    for now in memory.iter().flat_map(|memory| &memory.after.kinds) {
        let usage = memory.map_or(0, |memory| memory.after.usage);
        let kind = (attribute::MEMORY_KIND, now.kind.name());
        let share = now.bytes as f64 / usage.max(1) as f64;
        add(gauge(metric::MEMORY_SHARE, "1"), Some(kind), Some(share));
    }
    add(gauge(metric::MEMORY_TIME_TO_CEILING, "s"), None, slot.time_to_ceiling_s);
    add(gauge(metric::LEAK_STATE, ""), None, Some(state_number(slot.state)));
    let uptime = if run.working_set.is_some() {
        metric::CONTAINER_UPTIME
    } else {
        metric::PROCESS_UPTIME
    };
    let age = now.0.saturating_sub(run.started.0) as f64 / 1e9;
    add(gauge(uptime, "s"), None, Some(age));
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
