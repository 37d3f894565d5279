//! Attaches hooks: takes a loaded object and what this kernel's files say, tries each hook's rungs, best first, and
//! produces a report of each.

use aya::{
    Btf as AyaBtf, Ebpf,
    programs::{BtfTracePoint, ProgramError, TracePoint},
};
use observer_common::layout::ABSENT;

use super::{
    facts::KernelFacts,
    hook::{Hook, Rung},
    options::Options,
    report::HookReport,
};
use crate::causes::chain;

/// Where `mark_victim` passes only a pid, as in Debian's 5.10.
const LOST_TO_A_BARE_PID: &str = "the victim's start time, cgroup and sizes; its process if a thread is named";

/// Tries a hook's rungs, best first.
pub(super) fn serve(ebpf: &mut Ebpf, kernel: &KernelFacts, options: &Options, hook: Hook) -> HookReport {
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

fn attach_btf(ebpf: &mut Ebpf, kernel: &KernelFacts, hook: Hook) -> Result<(), String> {
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

fn attach_plain(ebpf: &mut Ebpf, kernel: &KernelFacts, hook: Hook) -> Result<(), String> {
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
