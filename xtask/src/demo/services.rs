//! What the agent has seen: reads the Inputs of its recording as they are written, produces the state of each service
//! for the live table.

use std::collections::{BTreeMap, BTreeSet};

use observer_core::{
    Input, What,
    kernel::{ExitStatus, KernelEvent},
    process::ProcessKey,
};

use super::stage::SERVICES;

/// One service, as the agent's Inputs show it.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceState {
    /// Bytes its cgroup holds.
    pub(super) usage: u64,
    /// Its lowest limit, bytes.
    pub(super) limit: Option<u64>,
    /// Lives seen so far.
    pub(super) runs: u32,
    /// How the last life ended.
    pub(super) last_end: Option<ExitStatus>,
    /// Lives that the kernel's OOM killer ended.
    pub(super) oom_kills: u32,
}

/// All services.
#[derive(Debug, Default)]
pub(super) struct Services {
    services: BTreeMap<String, ServiceState>,
    /// Which process belongs to which service.
    processes: BTreeMap<ProcessKey, String>,
    /// Processes marked by the OOM killer: one that is slow to die is marked again and again.
    victims: BTreeSet<ProcessKey>,
}

impl Services {
    /// One Input more.
    pub(super) fn take(&mut self, input: &Input) {
        match &input.what {
            What::Process(facts) if facts.is_watched() => {
                let name = facts.otel.get("OTEL_SERVICE_NAME").filter(|name| known(name));
                if let Some(name) = name
                    && self.processes.insert(facts.key, name.clone()).is_none()
                {
                    self.services.entry(name.clone()).or_default().runs += 1;
                }
            }
            What::Sample(sample) => {
                if let (Some(service), Some(level)) = (self.service(sample.process), &sample.cgroup) {
                    service.usage = level.usage;
                    service.limit = level.limit.as_ref().map(|limit| limit.bytes);
                }
            }
            What::Kernel(KernelEvent::OomVictim(victim)) => {
                if self.victims.insert(victim.process)
                    && let Some(service) = self.service(victim.process)
                {
                    service.oom_kills += 1;
                }
            }
            What::Kernel(KernelEvent::Exit { process, status, .. }) => {
                if let Some(service) = self.service(*process) {
                    service.last_end = *status;
                    service.usage = 0;
                }
            }
            _ => {}
        }
    }

    /// The state of one service.
    pub(super) fn of(&self, name: &str) -> ServiceState {
        self.services.get(name).cloned().unwrap_or_default()
    }

    fn service(&mut self, process: ProcessKey) -> Option<&mut ServiceState> {
        self.services.get_mut(self.processes.get(&process)?)
    }
}

fn known(name: &str) -> bool {
    SERVICES.iter().any(|service| service.name == name)
}
