//! A process replaced its image.

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_get_current_comm,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::info;
use observer_common::{
    COMM_LEN,
    record::{Exec, Kind},
};

use crate::{
    emit::emit,
    memory::{Direct, Memory},
    task::Task,
    watched,
};

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`, 5.10 to 7.2
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_btf(ctx: BtfTracePointContext) -> i32 {
    Task::<Direct>::passed(ctx.arg(0)).map_or(0, |task| try_exec(&ctx, &task))
}

/// `sched:sched_process_exec`: nothing of its record is needed, the process is the running one.
#[tracepoint]
fn exec_tp(ctx: TracePointContext) -> i32 {
    try_exec(&ctx, &Task::current())
}

/// The kernel has made the running thread the leader by now, whichever called `execve`.
#[inline(always)]
fn try_exec<M: Memory>(ctx: &impl EbpfContext, task: &Task<M>) -> i32 {
    let pid = ctx.tgid();
    info!(ctx, "exec by {}", pid);
    watched::came(pid);
    emit(Kind::Exec, |header| Exec {
        header,
        start_ns: task.start_ns(),
        cgroup_id: task.cgroup_id(),
        pid,
        ppid: task.parent_tgid(),
        comm: bpf_get_current_comm().unwrap_or([0; COMM_LEN]),
    });
    0
}
