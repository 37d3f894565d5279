//! Loads the object: reads the kernel's types and formats, produces the maps and programs with this kernel's offsets in
//! them, and a report of how each hook is served.

use std::{fs, path::Path};

use aya::{Btf as AyaBtf, Ebpf, EbpfLoader};
use observer_common::{
    growth::{SYSCALLS, Syscall},
    layout::ABSENT,
    name,
};

use super::{
    attach::serve,
    facts::KernelFacts,
    hook::Hook,
    layout::VMLINUX,
    log, object,
    options::Options,
    probe::{Capability, Host, INIT_PID_NAMESPACE},
    report::Report,
};
use crate::causes::chain;

/// A loaded object and how its hooks are served; or why nothing could be loaded.
pub(super) fn load(options: &Options) -> Result<(Ebpf, Report), String> {
    let namespace =
        fs::read_link("/proc/self/ns/pid").map_err(|error| format!("cannot read /proc/self/ns/pid: {error}"))?;
    if namespace != Path::new(INIT_PID_NAMESPACE) {
        return Err(
            "the agent is in a pid namespace of its own, where the kernel's pids name other processes: \
                    run it in the host's (hostPID: true, or --pid=host)"
                .into(),
        );
    }
    let object = object::checked().map_err(|error| error.to_string())?;
    raise_memlock();
    let (mut kernel, types) = KernelFacts::read();
    let mut ebpf = create(object, &kernel, options).map_err(|error| {
        unprivileged().unwrap_or_else(|| format!("the kernel refused the maps or the object: {}", chain(&error)))
    })?;
    // Last: aya's view of the types takes some 10 MB, and its loader has made one of its own meanwhile.
    kernel.btf = types
        .and_then(|()| AyaBtf::from_sys_fs().map_err(|error| format!("cannot parse {VMLINUX}: {}", chain(&error))));
    let hooks = Hook::ALL
        .into_iter()
        .map(|hook| serve(&mut ebpf, &kernel, options, hook))
        .collect();
    Ok((
        ebpf,
        Report {
            unavailable: None,
            hooks,
        },
    ))
}

/// What this process would have to be given, where that is why it may not load anything.
fn unprivileged() -> Option<String> {
    let lacking: Vec<&str> = Host::probe()
        .capabilities
        .into_iter()
        .filter(|(capability, held)| matches!(capability, Capability::Bpf | Capability::Perfmon) && !held)
        .map(|(capability, _)| capability.name())
        .collect();
    (!lacking.is_empty()).then(|| format!("{} not held, run as root or grant them", lacking.join(" and ")))
}

/// Sets globals and map sizes, creates the maps. Nothing is verified or attached yet.
fn create(object: &[u8], kernel: &KernelFacts, options: &Options) -> Result<Ebpf, aya::EbpfError> {
    let settings = kernel.settings();
    let syscalls = syscalls();
    let level = log::level(options.log);
    let mut loader = EbpfLoader::new();
    loader
        // The kernel's types serve relocations, of which the object has none.
        .btf(None)
        .override_global(name::OFFSETS, &kernel.offsets, true)
        .override_global(name::FORMATS, &kernel.formats, true)
        .override_global(name::SYSCALLS, &syscalls, true)
        .override_global(name::SETTINGS, &settings, true)
        .override_global(aya_log::LEVEL, &level, true)
        .map_max_entries(log::RING, log::room(options.log))
        .map_max_entries(name::EVENTS, options.events_bytes)
        .map_max_entries(name::DEATHS, options.deaths_bytes)
        .map_max_entries(name::WATCHED, options.watched_max)
        .map_max_entries(name::GROWTH, options.traced_max);
    loader.load(object)
}

/// Kernels before 5.11 charge maps against this limit; where it cannot be raised, creating them says so.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(
        Resource::Memlock,
        Rlimit {
            current: None,
            maximum: None,
        },
    );
}

/// Numbers of the traced system calls on this architecture.
fn syscalls() -> [u32; SYSCALLS] {
    let mut numbers = [ABSENT; SYSCALLS];
    for (syscall, number) in [
        (Syscall::Mmap, libc::SYS_mmap),
        (Syscall::Munmap, libc::SYS_munmap),
        (Syscall::Mremap, libc::SYS_mremap),
        (Syscall::Brk, libc::SYS_brk),
        (Syscall::Mprotect, libc::SYS_mprotect),
    ] {
        numbers[syscall as usize] = number as u32;
    }
    numbers
}
