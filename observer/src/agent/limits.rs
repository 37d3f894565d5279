//! What the agent was not given here: reads what this host allows, how hooks were attached and which cgroups are mounted,
//! produces one line each, for `observer status` and /readyz. `observer doctor` tells them in full.

use crate::{
    kernel::{Report, probe::Host},
    source::cgroup::Hierarchy,
};

/// What lies with the host and the agent's rights.
pub(super) fn of(host: &Host, report: &Report, hierarchy: &Hierarchy) -> Vec<String> {
    let missing = host.capabilities.iter().filter(|(_, held)| !held);
    missing
        .map(|(capability, _)| format!("{} is not held: it is for {}", capability.name(), capability.purpose()))
        .chain(report.shortfall())
        .chain(hierarchy.shortfall())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::probe::Capability;

    #[test]
    fn each_thing_that_is_missing_is_a_line_and_what_is_there_is_none() {
        let mut host = Host::probe();
        let hierarchy = Hierarchy::at(2, "/sys/fs/cgroup", None);
        host.capabilities = vec![(Capability::Bpf, true), (Capability::SysPtrace, false)];
        assert_eq!(
            of(&host, &Report::default(), &hierarchy),
            ["CAP_SYS_PTRACE is not held: it is for executables, mappings and heaps of other users' processes"]
        );
        let report = Report {
            unavailable: Some("no".into()),
            hooks: Vec::new(),
        };
        assert_eq!(of(&host, &report, &hierarchy).len(), 2);
        host.capabilities.clear();
        assert!(of(&host, &Report::default(), &hierarchy).is_empty());
    }
}
