//! Loads the object: reads the kernel's types and formats, produces the maps and programs with this kernel's offsets in
//! them, and a report of how each hook is served.

use std::{fs, path::Path};

use aya::{Btf as AyaBtf, Ebpf, EbpfLoader};
use observer_common::{
    growth::{SYSCALLS, Syscall},
    layout::{ABSENT, FIELDS, FORMATS, SETTINGS, Setting},
    name,
};

use super::{
    Options,
    attach::{chain, serve},
    btf::{Btf, BtfError, Parameter},
    hook::Hook,
    layout::{self, VMLINUX},
    log, object,
    probe::{Capability, Host},
    report::Report,
};

/// `/proc/self/ns/pid` of the host's first namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
pub(super) const INIT_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What this kernel's own files say about it.
pub(super) struct Kernel {
    /// aya's own view of BTF, for attaching; an error with the reason.
    pub(super) btf: Result<AyaBtf, String>,
    pub(super) offsets: [u32; FIELDS],
    rss_is_a_structure: bool,
    pub(super) formats: [u32; FORMATS],
    /// Prototype of each hook's BTF tracepoint, in the order of [`Hook::ALL`].
    prototypes: [Option<Vec<Parameter>>; Hook::ALL.len()],
}

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
    let (mut kernel, types) = Kernel::read();
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

impl Kernel {
    /// Offsets and prototypes, and whether the types could be read; [`Kernel::btf`] is left to the caller.
    fn read() -> (Self, Result<(), String>) {
        let mut kernel = Self {
            btf: Err(String::new()),
            offsets: [ABSENT; FIELDS],
            rss_is_a_structure: false,
            formats: layout::formats(layout::tracefs()),
            prototypes: [const { None }; Hook::ALL.len()],
        };
        let types = fs::read(VMLINUX)
            .map_err(|error| format!("cannot read the kernel's BTF at {VMLINUX}: {error}"))
            .and_then(|blob| {
                kernel
                    .resolve(&blob)
                    .map_err(|error| format!("cannot parse {VMLINUX}: {error}"))
            });
        (kernel, types)
    }

    fn resolve(&mut self, blob: &[u8]) -> Result<(), BtfError> {
        let btf = Btf::parse(blob)?;
        self.offsets = layout::offsets(&btf);
        self.rss_is_a_structure = layout::rss_is_a_structure(&btf);
        for (prototype, hook) in self.prototypes.iter_mut().zip(Hook::ALL) {
            *prototype = btf.prototype(&format!("btf_trace_{}", hook.tracepoint()));
        }
        Ok(())
    }

    pub(super) fn prototype(&self, hook: Hook) -> Option<&[Parameter]> {
        let index = Hook::ALL.iter().position(|&other| other == hook)?;
        self.prototypes.get(index)?.as_deref()
    }

    /// Whether the hook's first argument is a structure: `mark_victim` carried a bare pid once.
    pub(super) fn passes_pointer(&self, hook: Hook) -> bool {
        // The prototype begins with a `void *` of its own.
        self.prototype(hook)
            .is_some_and(|parameters| parameters.get(1) == Some(&Parameter::Pointer))
    }

    fn settings(&self) -> [u32; SETTINGS] {
        let mut settings = [0; SETTINGS];
        // The prototype counts the `void *` that every such typedef starts with.
        let tells = self
            .prototype(Hook::Exit)
            .is_some_and(|parameters| parameters.len() > 2);
        settings[Setting::PageSize as usize] = rustix::param::page_size() as u32;
        settings[Setting::ExitTellsGroupDead as usize] = u32::from(tells);
        settings[Setting::CgroupHierarchy as usize] = memory_hierarchy();
        settings[Setting::RssByHelper as usize] = u32::from(self.rss_is_a_structure);
        settings
    }
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
fn create(object: &[u8], kernel: &Kernel, options: &Options) -> Result<Ebpf, aya::EbpfError> {
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

/// The hierarchy that accounts for memory (0 is the unified one), or [`ABSENT`], which stands for all.
fn memory_hierarchy() -> u32 {
    // Kernels without cgroup v1 have no such file: everything is in the unified hierarchy.
    let Ok(text) = fs::read_to_string("/proc/cgroups") else {
        return 0;
    };
    text.lines()
        .find_map(|line| {
            let mut columns = line.split_whitespace();
            (columns.next()? == "memory").then(|| columns.next()?.parse().ok())?
        })
        .unwrap_or(ABSENT)
}
