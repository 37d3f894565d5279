//! The decision: reads an [`Evidence`], produces an [`End`]. Pure, and told in words in `End::because`.
//!
//! Kernel facts relied on (docs/runs.md):
//! `oom:mark_victim` also fires for tasks that are already exiting, so a mark counts only with an end by SIGKILL;
//! the kernel ignores SIGABRT for a container's init, so V8's abort ends there in glibc's trap (SIGSEGV on x86-64,
//! SIGTRAP or SIGILL elsewhere); and `process.abort()` looks the same as V8's abort, so only the level tells them apart.

use super::{
    evidence::{Evidence, SignalSeen, Victim, is_stop},
    senders::{SIGABRT, SIGILL, SIGKILL, SIGSEGV, SIGTRAP, is_oom_daemon, signal_name},
};
use crate::{
    finding::{Cause, Confidence, End},
    kernel::ExitStatus,
    units::bytes,
};

/// Share of V8's heap limit that the resident set must have reached for an abort to be put down to the heap limit.
/// Measured deaths stood at 1.08-1.13 of it; samples lag behind.
const HEAP_SHARE: f64 = 0.8;
/// Resident bytes below which an abort is not a heap limit's where the limit is not known: the smallest default
/// heap limit of Node 20-26 is 259 MB.
const SMALLEST_HEAP: u64 = 220_000_000;
/// A peak so many times the largest sample was not reached before that sample: statm lags behind by some pages per thread
/// (docs/kernel.md), and a process that keeps its level is sampled within a few per cent of its peak.
const PEAK_IS_NEWER: f64 = 1.1;

/// Why it ended.
pub fn decide(evidence: &Evidence<'_>) -> End {
    let mut end = match evidence.status {
        None => without_status(evidence),
        Some(ExitStatus::Signal(SIGKILL)) => killed(evidence),
        Some(ExitStatus::Signal(signal)) if is_stop(signal) => stopped(evidence, evidence.stop(), true),
        Some(ExitStatus::Signal(signal)) => crashed(evidence, signal),
        Some(ExitStatus::Code(code)) => exited(evidence, code),
    };
    if evidence.lossy && end.confidence == Confidence::Observed {
        end.confidence = Confidence::Inferred;
        end.because
            .push_str("; records were lost at that time, so something may be missing");
    }
    end
}

/// The exit status is not known: files only, or the process was found missing.
fn without_status(e: &Evidence<'_>) -> End {
    let rose = e.own_kills_rose == Some(true);
    if e.victim == Victim::Marked && rose {
        return e.end(
            Cause::KernelOom,
            Confidence::Observed,
            None,
            "the kernel marked it as a victim and the cgroup's kill counter rose".into(),
        );
    }
    if e.victim == Victim::Marked || rose {
        let what = if rose {
            "the cgroup's kill counter rose"
        } else {
            "the kernel marked it as a victim"
        };
        return e.end(
            Cause::KernelOom,
            Confidence::Inferred,
            None,
            format!("{what}; the exit status was not seen"),
        );
    }
    if let Some(kill) = e.kill().filter(|s| is_oom_daemon(&s.sender_comm)) {
        return userspace(e, kill);
    }
    if let Some(stop) = e.stop() {
        return stopped(e, Some(stop), false);
    }
    if e.ancestor_kills_rose == Some(true) && e.saturation.is_some_and(|s| s >= 0.8) {
        return e.end(
            Cause::KernelOom,
            Confidence::Inferred,
            None,
            "the kill counter of an enclosing cgroup rose while this one stood near its limit; the exit status was not seen".into(),
        );
    }
    let because = if e.seen {
        "it ended; neither status nor signal was seen, and no kill for memory was counted"
    } else {
        "it was found missing; its end was not seen"
    };
    e.end(Cause::Unknown, Confidence::Inferred, None, because.into())
}

/// Ended by SIGKILL: by the kernel for memory, by a daemon for memory, or by somebody else.
fn killed(e: &Evidence<'_>) -> End {
    if e.victim == Victim::Marked {
        let counted = if e.own_kills_rose == Some(true) {
            " and the cgroup's kill counter rose"
        } else {
            ""
        };
        let because = format!("the kernel marked it as a victim, it ended by SIGKILL{counted}");
        return e.end(Cause::KernelOom, Confidence::Observed, None, because);
    }
    if let Some(kill) = e.kill() {
        if is_oom_daemon(&kill.sender_comm) {
            return userspace(e, kill);
        }
        // A process sent it: whatever a counter says, that one belongs to somebody else.
        return stopped(e, Some(kill), true);
    }
    let by_kernel = e.signals.iter().any(|s| s.signal == SIGKILL && s.code > 0);
    let rose = e.own_kills_rose == Some(true);
    let near = e.saturation.is_some_and(|s| s >= 0.8);
    let reason = if e.group_kill {
        Some("it ended by SIGKILL together with a marked victim of its container")
    } else if rose {
        Some("it ended by SIGKILL and the cgroup's kill counter rose")
    } else if e.victim == Victim::Perhaps && near {
        Some("it ended by SIGKILL near its limit, when the kernel marked a thread of unknown process")
    } else if e.ancestor_kills_rose == Some(true) && near {
        Some("it ended by SIGKILL near its limit and an enclosing cgroup's kill counter rose")
    } else if by_kernel && near {
        Some("the kernel itself sent SIGKILL near the limit")
    } else {
        None
    };
    if let Some(reason) = reason {
        return e.end(Cause::KernelOom, Confidence::Inferred, None, reason.into());
    }
    let because = "it ended by SIGKILL from a sender that was not seen; no kill for memory was marked or counted";
    e.end(Cause::Terminated, Confidence::Inferred, None, because.into())
}

fn userspace(e: &Evidence<'_>, kill: &SignalSeen) -> End {
    let because = format!("{} (pid {}) sent SIGKILL", kill.sender_comm, kill.sender_pid);
    e.end(Cause::UserspaceOom, Confidence::Observed, Some(kill), because)
}

/// Somebody asked it to stop, or made it.
fn stopped(e: &Evidence<'_>, by: Option<&SignalSeen>, observed: bool) -> End {
    let asked = by.map_or_else(
        || "it ended by a stop signal whose sender was not seen".to_owned(),
        |s| {
            format!(
                "{} (pid {}) sent {}",
                s.sender_comm,
                s.sender_pid,
                signal_name(s.signal)
            )
        },
    );
    let confidence = if observed && by.is_some() {
        Confidence::Observed
    } else {
        Confidence::Inferred
    };
    if e.rollout {
        let because = format!("{asked} while another version took its place");
        return e.end(Cause::Rollout, Confidence::Inferred, by, because);
    }
    e.end(Cause::Terminated, confidence, by, asked)
}

/// A signal that a program brings on itself: an abort, a trap, a fault.
fn crashed(e: &Evidence<'_>, signal: u8) -> End {
    let name = signal_name(signal);
    let aborts_ignored = e.signals.iter().filter(|s| s.signal == SIGABRT && !s.delivered).count();
    let init_trap = e.init && matches!(signal, SIGSEGV | SIGTRAP | SIGILL);
    let foreign = |s: &&&SignalSeen| s.signal == signal && s.code <= 0 && s.delivered && s.sender_pid != e.pid;
    if let Some(by) = e.signals.iter().rev().find(foreign).copied() {
        let because = format!("{} (pid {}) sent {name}", by.sender_comm, by.sender_pid);
        return e.end(Cause::Crash, Confidence::Observed, Some(by), because);
    }
    if !e.node || !(signal == SIGABRT || init_trap) {
        return e.end(Cause::Crash, Confidence::Observed, None, format!("it ended by {name}"));
    }
    let how = if signal == SIGABRT {
        "it aborted".to_owned()
    } else if aborts_ignored > 0 {
        format!("as init of its container it ignored SIGABRT {aborts_ignored} times and then trapped ({name})")
    } else {
        format!("it ended by {name}, as an abort does for init of a container")
    };
    let sampled = e.rss_projected.max(e.rss);
    if let (Some(peak), Some(limit)) = (e.peak_rss.or(e.max_rss), e.heap_limit)
        && (peak as f64) < HEAP_SHARE * limit as f64
    {
        let because = format!(
            "{how} and never had more than {} resident, far below the predicted heap limit of {}",
            bytes(peak),
            bytes(limit)
        );
        return e.end(Cause::Crash, Confidence::Observed, None, because);
    }
    // A peak above every sample was reached since the last one, at the end as far as anyone can tell.
    let rss = sampled.max(
        e.peak_rss
            .filter(|&peak| e.rss_seen.is_none_or(|seen| peak as f64 > PEAK_IS_NEWER * seen as f64)),
    );
    match (rss, e.heap_limit) {
        (Some(rss), Some(limit)) if rss as f64 >= HEAP_SHARE * limit as f64 => e.end(
            Cause::V8HeapOom,
            Confidence::Inferred,
            None,
            format!(
                "{how} with {} resident, against a predicted heap limit of {}",
                bytes(rss),
                bytes(limit)
            ),
        ),
        (Some(rss), Some(limit)) => e.end(
            Cause::Crash,
            // A sample may be as old as the interval between two: a heap that filled within it was not seen.
            Confidence::Inferred,
            None,
            format!(
                "{how} with {} resident when last seen, far below the predicted heap limit of {}",
                bytes(rss),
                bytes(limit)
            ),
        ),
        (Some(rss), None) if rss >= SMALLEST_HEAP && (signal == SIGABRT || aborts_ignored > 0) => e.end(
            Cause::V8HeapOom,
            Confidence::Inferred,
            None,
            format!("{how} with {} resident; its heap limit is not known", bytes(rss)),
        ),
        _ => e.end(Cause::Crash, Confidence::Observed, None, how),
    }
}

fn exited(e: &Evidence<'_>, code: u8) -> End {
    if let Some(stop) = e.stop() {
        let mut end = stopped(e, Some(stop), true);
        end.because = format!("{}; it then exited with code {code}", end.because);
        return end;
    }
    let already_exiting = if e.victim == Victim::Marked {
        "; the kernel had marked it as a victim, but it was already exiting"
    } else {
        ""
    };
    if code == 0 {
        return e.end(
            Cause::Completed,
            Confidence::Observed,
            None,
            format!("it exited with code 0{already_exiting}"),
        );
    }
    e.end(
        Cause::ErrorExit,
        Confidence::Observed,
        None,
        format!("it exited with code {code}{already_exiting}"),
    )
}
