//! What changes of a process while it runs: asks for the Resource that its SDK publishes and for its cgroup, produces the
//! identity that its own telemetry has, and the container that it was put into.

use std::sync::Arc;

use super::Engine;
use crate::{
    Output, Request,
    identity::{self, Home},
    process::{ProcessKey, PublishedResource},
    registry::ContainerId,
    time::{BootTime, SECOND},
};

/// Nanoseconds from one reading to the next: an SDK starts some seconds after its process, and may change its Resource at
/// any time. The last one repeats.
const READINGS: [u64; 4] = [0, 10 * SECOND, 50 * SECOND, 600 * SECOND];

impl Engine {
    /// Asks for the published Resource where that is due.
    pub(super) fn watch_resource(&mut self, at: BootTime, id: ContainerId, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        let main = container.main;
        let is_node = self
            .registry
            .processes
            .get(&main)
            .is_some_and(|process| process.facts.is_some());
        let run = &mut container.run;
        if container.main_dead || !is_node {
            return;
        }
        if run.resource_of != Some(main) {
            run.resource_of = Some(main);
            run.resource_reads = 0;
        }
        let last = READINGS.len() - 1;
        let wait = READINGS[usize::from(run.resource_reads).min(last)];
        if run.resource_reads == 0 || at.since(run.resource_read) >= wait {
            run.resource_reads = run.resource_reads.saturating_add(1);
            run.resource_read = at;
            out.requests.push(Request::ReadResource(main));
        }
    }

    /// A process has said who it is, and where it is by now.
    pub(super) fn published(&mut self, published: &PublishedResource, out: &mut Output) {
        let key = published.process;
        let around = self.cgroup_around_claim(&published.cgroup);
        let cgroup = around.as_ref().unwrap_or(&published.cgroup);
        let Some(process) = self.registry.processes.get_mut(&key).filter(|process| process.alive()) else {
            return;
        };
        let (Some(facts), Some(id)) = (&mut process.facts, process.container) else {
            return;
        };
        let moved = facts.cgroup != *cgroup || facts.limit_cgroup != published.limit_cgroup;
        // What was published stays known, also where an SDK takes it back when it shuts down.
        let renamed = !published.attributes.is_empty() && facts.published != published.attributes;
        if !moved && !renamed {
            return;
        }
        let facts = Arc::make_mut(facts);
        if renamed {
            facts.published.clone_from(&published.attributes);
        }
        facts.cgroup.clone_from(cgroup);
        facts.limit_cgroup.clone_from(&published.limit_cgroup);
        process.cgroup.clone_from(cgroup);
        process.limit_cgroup.clone_from(&published.limit_cgroup);
        if moved {
            self.settle_in(id, key, out);
        }
        self.refresh(id, key, out);
    }

    /// A bare process was put into a cgroup with a limit after its start, or its cgroup was given one: from now on that is
    /// its container.
    fn settle_in(&mut self, id: ContainerId, key: ProcessKey, out: &mut Output) {
        let Some(facts) = self
            .registry
            .processes
            .get(&key)
            .and_then(|process| process.facts.clone())
        else {
            return;
        };
        let home = identity::home(&facts);
        let bare = self.registry.containers.get(id).is_some_and(|container| {
            container.main == key && !container.main_dead && matches!(container.home, Home::Tree(_))
        });
        if !bare || matches!(home, Home::Tree(_)) || self.registry.containers.at(&home).is_some() {
            return;
        }
        let cgroup = identity::own_cgroup(&home, &facts.cgroup);
        let joined = self.members_of(&home, key, id);
        self.registry.containers.rehome(id, home);
        if let Some(container) = self.registry.containers.get_mut(id) {
            container.cgroup.clone_from(&cgroup);
            container.members.extend(joined);
            for process in &container.members {
                if self
                    .registry
                    .processes
                    .get(process)
                    .is_some_and(|process| process.watched)
                {
                    let cgroup = cgroup.clone();
                    out.requests.push(Request::Watch {
                        process: *process,
                        cgroup,
                    });
                }
            }
        }
        out.requests.push(Request::OomKills { cgroup });
    }
}
