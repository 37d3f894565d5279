//! The last thread of a process has gone.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::bpf_get_current_comm,
    macros::{btf_tracepoint, map, tracepoint},
    maps::LruHashMap,
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::{debug, info};
use observer_common::{
    COMM_LEN,
    layout::{ABSENT, Field, Format, Setting},
    record::{Exit, Kind},
};

use crate::{
    emit::emit,
    memory::{Direct, Memory, field},
    settings,
    task::Task,
};

/// `signal_struct.flags`: the whole group is exiting, with `group_exit_code` (include/linux/sched/signal.h; a macro,
/// so BTF does not carry it; unchanged since 2.6).
const SIGNAL_GROUP_EXIT: u32 = 4;

/// No wait status: one word, since an `Option` of half a word leaves the other half unwritten on the stack, and verifiers
/// before 6.3 refuse to see it read.
const UNKNOWN: u64 = u64::MAX;

/// Processes whose exit was reported, where the kernel does not say which thread was the last: two threads that
/// leave at once both see that none is live any more.
#[map]
static EXITED: LruHashMap<u32, u64> = LruHashMap::with_max_entries(4096, 0);

/// `sched_process_exit(struct task_struct *p)` up to 6.12, `(struct task_struct *p, bool group_dead)` after it
#[btf_tracepoint(function = "sched_process_exit")]
fn exit_btf(ctx: BtfTracePointContext) -> i32 {
    let Some(task) = Task::<Direct>::passed(ctx.arg(0)) else {
        return 0;
    };
    let group_dead = if settings::setting(Setting::ExitTellsGroupDead) == 1 {
        Some(ctx.arg::<u64>(1) & 1 == 1)
    } else {
        None
    };
    try_exit(&ctx, &task, group_dead)
}

/// `sched:sched_process_exit`, field `group_dead` where there is one. The exiting thread is the running one.
#[tracepoint]
fn exit_tp(ctx: TracePointContext) -> i32 {
    let offset = settings::format(Format::ExitGroupDead);
    let group_dead = if offset == ABSENT {
        None
    } else {
        // SAFETY: the helper behind it checks the address; the offset is this kernel's own.
        unsafe { ctx.read_at::<u8>(offset as usize) }.ok().map(|dead| dead != 0)
    };
    try_exit(&ctx, &Task::current(), group_dead)
}

#[inline(always)]
fn try_exit<M: Memory>(ctx: &impl aya_ebpf::EbpfContext, task: &Task<M>, group_dead: Option<bool>) -> i32 {
    let pid = ctx.tgid();
    let signal = task.follow(Field::TaskSignal);
    let leader = task.leader();
    let start_ns = leader.as_ref().map_or(0, Task::start_ns);
    let last = match (group_dead, signal) {
        (Some(dead), _) => dead,
        (None, Some(signal)) => {
            field::<M, u32>(signal, Field::SignalLive) == Some(0)
                && EXITED.insert(pid, start_ns, BPF_NOEXIST.into()).is_ok()
        }
        // Neither the kernel's record nor its layout tells: the main thread's exit is the best there is.
        (None, None) => ctx.pid() == pid,
    };
    if !last {
        debug!(ctx, "a thread of {} left, others live", pid);
        return 0;
    }
    let status = match (&leader, signal) {
        (Some(leader), Some(signal)) => wait_status::<M>(leader, signal),
        _ => UNKNOWN,
    };
    let max_rss = signal.and_then(|signal| field::<M, u64>(signal, Field::SignalMaxRss));
    let page = u64::from(settings::setting(Setting::PageSize));
    info!(ctx, "exit of {}, status {}", pid, status as u32);
    emit(Kind::Exit, |header| Exit {
        header,
        start_ns,
        cgroup_id: task.cgroup_id(),
        peak_rss: peak_pages(task) * page,
        max_rss: max_rss.unwrap_or(0) * page,
        pid,
        ppid: task.parent_tgid(),
        status: status as u32,
        status_known: u32::from(status != UNKNOWN),
        comm: match &leader {
            Some(leader) => leader.comm(),
            None => bpf_get_current_comm().unwrap_or([0; COMM_LEN]),
        },
    });
    0
}

/// The largest resident set of the image that ends: what it was when it last shrank, or what it is now. 0 where the memory
/// was let go of before this hook: from 6.16 on it is called first.
#[inline(always)]
fn peak_pages<M: Memory>(task: &Task<M>) -> u64 {
    // Those kernels have let go of it, and their verifier refuses the loads below.
    if settings::setting(Setting::RssByHelper) == 1 {
        return 0;
    }
    let Some(mm) = task.follow(Field::TaskMm) else {
        return 0;
    };
    let count = |of: Field| match field::<M, i64>(mm, of) {
        // Kept per CPU and summed lazily: a small one may read negative.
        Some(pages) if pages > 0 => pages as u64,
        _ => 0,
    };
    let now = count(Field::MmRssFile) + count(Field::MmRssAnon) + count(Field::MmRssShmem);
    let highest = field::<M, u64>(mm, Field::MmHiwaterRss).unwrap_or(0);
    if highest > now { highest } else { now }
}

/// What `wait(2)` will tell the parent, by the same rule (kernel/exit.c, `wait_task_zombie`): the group's code where
/// one thread ended all of them (`exit_group`, a fatal signal, the OOM killer), else that of the main thread, which
/// may have left long ago.
#[inline(always)]
fn wait_status<M: Memory>(leader: &Task<M>, signal: *const u8) -> u64 {
    let Some(flags) = field::<M, u32>(signal, Field::SignalFlags) else {
        return UNKNOWN;
    };
    let status = if flags & SIGNAL_GROUP_EXIT != 0 {
        field::<M, u32>(signal, Field::SignalGroupExitCode)
    } else {
        leader.get(Field::TaskExitCode)
    };
    match status {
        Some(status) => u64::from(status),
        None => UNKNOWN,
    }
}
