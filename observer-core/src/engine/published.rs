//! What applications publish of themselves: asks for the Resource of a run's main process while it runs, produces the
//! identity that its own telemetry has.

use std::sync::Arc;

use super::Engine;
use crate::{
    Output, Request,
    process::PublishedResource,
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

    /// A process has said who it is.
    pub(super) fn published(&mut self, published: &PublishedResource, out: &mut Output) {
        let key = published.process;
        let Some(process) = self.registry.processes.get_mut(&key).filter(|process| process.alive()) else {
            return;
        };
        let (Some(facts), Some(id)) = (&mut process.facts, process.container) else {
            return;
        };
        if facts.published == published.attributes {
            return;
        }
        Arc::make_mut(facts).published.clone_from(&published.attributes);
        self.refresh(id, key, out);
    }
}
