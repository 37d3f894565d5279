//! Loads the object with this kernel's offsets and attaches each hook on the best rung it allows.

use std::{error::Error, fs, path::Path};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader,
    programs::{BtfTracePoint, ProgramError, TracePoint},
};
use observer_common::{
    growth::{SYSCALLS, Syscall},
    layout::{ABSENT, FIELDS, FORMATS, SETTINGS, Setting},
    name,
};

use super::{
    Options,
    btf::{Btf, Parameter},
    hook::{Hook, Rung},
    layout::{self, VMLINUX},
    log, object,
    probe::{Capability, Host},
    report::{HookReport, Report},
};

/// `/proc/self/ns/pid` of the host's first namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
pub(super) const INIT_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Where `mark_victim` passes only a pid, as in Debian's 5.10.
const LOST_TO_A_BARE_PID: &str = "the victim's start time, cgroup and sizes; its process if a thread is named";

/// What this kernel's own files say about it.
struct Kernel {
    /// aya's own view of BTF, for attaching; `None` with the reason.
    btf: Result<AyaBtf, String>,
    offsets: [u32; FIELDS],
    rss_is_a_structure: bool,
    formats: [u32; FORMATS],
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
    let kernel = Kernel::read();
    let mut ebpf = create(object, &kernel, options).map_err(|error| {
        unprivileged().unwrap_or_else(|| format!("the kernel refused the maps or the object: {}", chain(&error)))
    })?;
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
    fn read() -> Self {
        let mut kernel = Self {
            btf: Err(String::new()),
            offsets: [ABSENT; FIELDS],
            rss_is_a_structure: false,
            formats: layout::formats(layout::tracefs()),
            prototypes: [const { None }; Hook::ALL.len()],
        };
        kernel.btf = kernel.read_btf();
        kernel
    }

    fn read_btf(&mut self) -> Result<AyaBtf, String> {
        let blob = fs::read(VMLINUX).map_err(|error| format!("cannot read the kernel's BTF at {VMLINUX}: {error}"))?;
        let btf = Btf::parse(&blob).map_err(|error| format!("cannot parse {VMLINUX}: {error}"))?;
        self.offsets = layout::offsets(&btf);
        self.rss_is_a_structure = layout::rss_is_a_structure(&btf);
        for (prototype, hook) in self.prototypes.iter_mut().zip(Hook::ALL) {
            *prototype = btf.prototype(&format!("btf_trace_{}", hook.tracepoint()));
        }
        AyaBtf::from_sys_fs().map_err(|error| format!("cannot parse {VMLINUX}: {}", chain(&error)))
    }

    fn prototype(&self, hook: Hook) -> Option<&[Parameter]> {
        let index = Hook::ALL.iter().position(|&other| other == hook)?;
        self.prototypes.get(index)?.as_deref()
    }

    /// Whether the hook's first argument is a structure: `mark_victim` carried a bare pid once.
    fn passes_pointer(&self, hook: Hook) -> bool {
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
        .btf(kernel.btf.as_ref().ok())
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

/// Tries a hook's rungs, best first.
fn serve(ebpf: &mut Ebpf, kernel: &Kernel, options: &Options, hook: Hook) -> HookReport {
    let mut failed = Vec::new();
    let rung = 'rung: {
        if options.best_rung == Rung::TpBtf {
            match attach_btf(ebpf, kernel, hook) {
                Ok(()) => break 'rung Rung::TpBtf,
                Err(reason) => failed.push((Rung::TpBtf, reason)),
            }
        }
        if options.best_rung <= Rung::Tracepoint && hook.plain().is_some() {
            match attach_plain(ebpf, kernel, hook) {
                Ok(()) => break 'rung Rung::Tracepoint,
                Err(reason) => failed.push((Rung::Tracepoint, reason)),
            }
        }
        Rung::Files
    };
    let lost = if hook == Hook::OomVictim && rung == Rung::TpBtf && !kernel.passes_pointer(hook) {
        LOST_TO_A_BARE_PID
    } else {
        hook.lost(rung, kernel.btf.is_ok())
    };
    HookReport {
        hook,
        rung,
        failed,
        lost,
    }
}

fn attach_btf(ebpf: &mut Ebpf, kernel: &Kernel, hook: Hook) -> Result<(), String> {
    let btf = kernel.btf.as_ref().map_err(Clone::clone)?;
    if kernel.prototype(hook).is_none() {
        return Err(format!("the kernel's BTF has no tracepoint {}", hook.tracepoint()));
    }
    if let Some(missing) = hook
        .btf_needs()
        .iter()
        .find(|&&field| kernel.offsets[field as usize] == ABSENT)
    {
        let (structure, member) = missing.path();
        return Err(format!("the kernel's BTF has no {structure}.{member}"));
    }
    let program = accepted(ebpf, btf, hook, hook.btf_programs(kernel.passes_pointer(hook)))?;
    // Growth is only verified here: it is attached while a process is traced.
    if hook != Hook::Growth {
        persist(|| program.attach()).map_err(|error| reason(&error))?;
    }
    Ok(())
}

/// The first of these programs that the kernel's verifier accepts; where it accepts none, why it refused the first.
fn accepted<'e>(ebpf: &'e mut Ebpf, btf: &AyaBtf, hook: Hook, names: &[&str]) -> Result<&'e mut BtfTracePoint, String> {
    let mut refused = None;
    for name in names {
        let candidate: &mut BtfTracePoint = program(ebpf, name)?;
        match persist(|| candidate.load(hook.tracepoint(), btf)) {
            Ok(()) => return program(ebpf, name),
            Err(error) => refused = refused.or_else(|| Some(reason(&error))),
        }
    }
    Err(refused.unwrap_or_else(|| "the object has no program for it".into()))
}

fn attach_plain(ebpf: &mut Ebpf, kernel: &Kernel, hook: Hook) -> Result<(), String> {
    let Some(plain) = hook.plain() else {
        return Err("no plain tracepoint tells this".into());
    };
    if let Some(missing) = plain
        .needs
        .iter()
        .find(|&&format| kernel.formats[format as usize] == ABSENT)
    {
        let (category, event, field) = missing.path();
        return Err(format!(
            "tracefs shows no field `{field}` of {category}:{event} (not mounted, or not readable)"
        ));
    }
    let program: &mut TracePoint = program(ebpf, plain.program)?;
    persist(|| program.load()).map_err(|error| reason(&error))?;
    persist(|| program.attach(plain.category, hook.tracepoint()))
        .map(drop)
        .map_err(|error| reason(&error))
}

/// Times a call is made that failed for a reason which passes by itself.
const ATTEMPTS: usize = 8;

/// Makes a call again that a signal to this thread broke off: the verifier gives up with EAGAIN where one is pending, on
/// a busy host more often than on others. Other failures stay.
fn persist<T>(mut call: impl FnMut() -> Result<T, ProgramError>) -> Result<T, ProgramError> {
    for _ in 1..ATTEMPTS {
        match call() {
            Err(error) if is_passing(&error) => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
    call()
}

fn is_passing(error: &ProgramError) -> bool {
    let io = match error {
        ProgramError::LoadError { io_error, .. } | ProgramError::IOError(io_error) => io_error,
        ProgramError::SyscallError(call) => &call.io_error,
        _ => return false,
    };
    matches!(io.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::EBUSY))
}

fn program<'e, P>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut P, String>
where
    &'e mut P: TryFrom<&'e mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the object has no program {name}"))?;
    program.try_into().map_err(|error: ProgramError| reason(&error))
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

/// An error and its sources on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// A program's error on one line: of the verifier's log only its verdict.
fn reason(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return chain(error);
    };
    let log = verifier_log.to_string();
    // The last line of the log that is not of the verifier's own statistics.
    let statistics = ["processed ", "stack depth ", "verification time "];
    let verdict = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start)));
    match verdict {
        Some(verdict) => format!("the kernel refused the program: {io_error}: {verdict}"),
        None => format!("the kernel refused the program: {io_error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failing(errno: i32, until: usize) -> (usize, bool) {
        let mut calls = 0;
        let outcome = persist(|| {
            calls += 1;
            if calls < until {
                return Err(ProgramError::IOError(io::Error::from_raw_os_error(errno)));
            }
            Ok(())
        });
        (calls, outcome.is_ok())
    }

    #[test]
    fn a_call_that_a_signal_broke_off_is_made_again_and_no_other() {
        assert_eq!(failing(libc::EAGAIN, 3), (3, true));
        assert_eq!(failing(libc::EINTR, usize::MAX), (ATTEMPTS, false));
        assert_eq!(failing(libc::EPERM, 3), (1, false));
    }
}
