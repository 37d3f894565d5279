//! Metrics: read a snapshot of the agent, produce points that OTLP and Prometheus carry alike.

use observer_core::engine::view::WorkloadView;

use crate::snapshot::Snapshot;

mod counts;
mod own;
mod point;
mod resource;
mod run;
#[cfg(test)]
mod tests;

pub use own::{OWN, own};
pub use point::{Group, Kind, Metric, Point};
pub use resource::agent_resource;

use counts::{counts, is_recent};
use resource::service;
use run::run;

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
