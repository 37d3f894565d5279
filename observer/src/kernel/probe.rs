//! Reads what this host is and allows (kernel, types, lockdown, namespaces, capabilities), produces [`Host`].

use std::{fs, path::Path};

use rustix::thread::CapabilitySet;

use super::{
    btf::Btf,
    layout::{self, VMLINUX},
};

/// `/proc/self/ns/pid` of the host's first namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
pub(super) const INIT_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What of a host decides how much the agent can observe. Every field says how it is, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `uname -r`
    pub release: String,
    /// `uname -m`
    pub machine: String,
    /// Number of types in the kernel's BTF, or why it cannot be used.
    pub btf: Result<usize, String>,
    /// `none`, `integrity` or `confidentiality`, or why it is not known.
    pub lockdown: Result<String, String>,
    /// Where tracefs is mounted, if it is and can be read.
    pub tracefs: Option<String>,
    /// The agent sees the pids that the kernel's records carry.
    pub in_host_pid_namespace: bool,
    /// Numeric user id.
    pub uid: u32,
    /// Each capability the agent uses, and whether it holds it.
    pub capabilities: Vec<(Capability, bool)>,
}

/// A capability the agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `CAP_BPF`
    Bpf,
    /// `CAP_PERFMON`
    Perfmon,
    /// `CAP_SYS_PTRACE`
    SysPtrace,
    /// `CAP_DAC_READ_SEARCH`
    DacReadSearch,
}

impl Capability {
    const ALL: [Self; 4] = [Self::Bpf, Self::Perfmon, Self::SysPtrace, Self::DacReadSearch];

    /// Name, as in capabilities(7).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::Perfmon => "CAP_PERFMON",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
        }
    }

    /// What it is used for.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Bpf => "kernel programs and their maps",
            Self::Perfmon => "attaching them, reading kernel memory",
            Self::SysPtrace => "executables, mappings and heaps of other users' processes",
            Self::DacReadSearch => "environments of other users' processes (service names), tracefs",
        }
    }

    /// CAP_SYS_ADMIN stands in for the two that were split from it in 5.8.
    fn held(self, effective: CapabilitySet) -> bool {
        effective.intersects(match self {
            Self::Bpf => CapabilitySet::BPF | CapabilitySet::SYS_ADMIN,
            Self::Perfmon => CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN,
            Self::SysPtrace => CapabilitySet::SYS_PTRACE,
            Self::DacReadSearch => CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE,
        })
    }
}

impl Host {
    /// Looks at this host, as this process sees it.
    pub fn probe() -> Self {
        let uname = rustix::system::uname();
        // A process may always read its own; were it refused, none is held as far as anyone can tell.
        let effective =
            rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |capabilities| capabilities.effective);
        Self {
            release: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            btf: btf(),
            lockdown: lockdown(),
            tracefs: layout::tracefs().map(|mount| mount.display().to_string()),
            in_host_pid_namespace: fs::read_link("/proc/self/ns/pid")
                .is_ok_and(|namespace| namespace == Path::new(INIT_PID_NAMESPACE)),
            uid: rustix::process::geteuid().as_raw(),
            capabilities: Capability::ALL
                .map(|capability| (capability, capability.held(effective)))
                .into(),
        }
    }
}

fn btf() -> Result<usize, String> {
    let blob = fs::read(VMLINUX).map_err(|error| format!("cannot read the kernel's BTF at {VMLINUX}: {error}"))?;
    Btf::parse(&blob)
        .map(|btf| btf.len())
        .map_err(|error| format!("cannot parse {VMLINUX}: {error}"))
}

fn lockdown() -> Result<String, String> {
    const FILE: &str = "/sys/kernel/security/lockdown";
    let text = fs::read_to_string(FILE).map_err(|error| format!("cannot read {FILE}: {error}"))?;
    selected(&text)
        .map(str::to_owned)
        .ok_or_else(|| format!("{FILE} names no mode: {}", text.trim()))
}

/// The word in brackets: `none [integrity] confidentiality`.
fn selected(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(mode, _)| mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_in_brackets_is_in_force() {
        assert_eq!(selected("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(selected("none integrity\n"), None);
        assert_eq!(selected("[none"), None);
    }

    #[test]
    fn sys_admin_stands_in_for_bpf_and_perfmon_but_not_for_ptrace() {
        assert!(Capability::Bpf.held(CapabilitySet::SYS_ADMIN));
        assert!(Capability::Perfmon.held(CapabilitySet::PERFMON));
        assert!(!Capability::Perfmon.held(CapabilitySet::BPF));
        assert!(!Capability::SysPtrace.held(CapabilitySet::SYS_ADMIN));
    }
}
