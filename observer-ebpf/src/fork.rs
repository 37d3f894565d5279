//! A watched process forked another (a process, not a thread).

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::{debug, info};
use observer_common::{
    layout::{ABSENT, Format},
    record::{Fork, Kind},
};

use crate::{emit::emit, memory::Direct, settings, task::Task, watched::is_watched};

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`, 5.10 to 7.2
#[btf_tracepoint(function = "sched_process_fork")]
fn fork_btf(ctx: BtfTracePointContext) -> i32 {
    let Some(child) = Task::<Direct>::passed(ctx.arg(1)) else {
        return 0;
    };
    let (Some(tid), Some(pid)) = (child.tid(), child.tgid()) else {
        return 0;
    };
    if tid != pid {
        return 0;
    }
    try_fork(&ctx, pid, child.start_ns())
}

/// `sched:sched_process_fork`, field `child_pid`. A new thread cannot be told from a new process here: the agent
/// finds no such process and drops it.
#[tracepoint]
fn fork_tp(ctx: TracePointContext) -> i32 {
    let offset = settings::format(Format::ForkChildPid);
    if offset == ABSENT {
        return 0;
    }
    // SAFETY: the helper behind it checks the address; the offset is this kernel's own.
    let Ok(child) = (unsafe { ctx.read_at::<u32>(offset as usize) }) else {
        return 0;
    };
    try_fork(&ctx, child, 0)
}

#[inline(always)]
fn try_fork(ctx: &impl EbpfContext, pid: u32, start_ns: u64) -> i32 {
    let parent = ctx.tgid();
    if is_watched(parent) {
        info!(ctx, "fork of {} by {}", pid, parent);
        emit(Kind::Fork, |header| Fork {
            header,
            start_ns,
            pid,
            ppid: parent,
        });
    } else {
        debug!(ctx, "fork of {} by {}, which is not watched", pid, parent);
    }
    0
}
