//! The kernel chose a process to kill for memory.
//!
//! The hook runs in the context of whoever asked for memory: the victim is never the running task (facts about
//! "current" would describe a bystander), and its cgroup is read from its own `task_struct`.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::bpf_probe_read_kernel_str,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::info;
use observer_common::{
    COMM_LEN,
    layout::{ABSENT, Field, Format, Setting},
    record::{Header, Kind, OomVictim},
};

use crate::{
    emit::emit,
    memory::{Direct, Probed, field},
    settings,
    task::Task,
};

/// What this kernel does not tell.
const UNKNOWN: u64 = u64::MAX;

/// `mark_victim(struct task_struct *task, uid_t uid)`: 6.10 and later, and stable kernels with the change backported
#[btf_tracepoint(function = "mark_victim")]
fn oom_btf_task(ctx: BtfTracePointContext) -> i32 {
    let Some(task) = Task::<Direct>::passed(ctx.arg(0)) else {
        return 0;
    };
    let tid = task.tid().unwrap_or(0);
    info!(&ctx, "victim {}", tid);
    let mm = task.follow(Field::TaskMm);
    let counter = |mm: *const u8, of: Field| {
        if settings::setting(Setting::RssByHelper) == 1 {
            field::<Probed, i64>(mm, of)
        } else {
            field::<Direct, i64>(mm, of)
        }
    };
    let pages = |of: Field| match mm.and_then(|mm| counter(mm, of)) {
        // Counters are kept per CPU and summed lazily: a small one may read negative.
        Some(pages) => (if pages < 0 { 0 } else { pages as u64 }) * u64::from(settings::setting(Setting::PageSize)),
        None => UNKNOWN,
    };
    emit(Kind::OomVictim, |header| OomVictim {
        header,
        start_ns: task.leader().map_or(0, |leader| leader.start_ns()),
        cgroup_id: task.cgroup_id(),
        total_vm: pages(Field::MmTotalVm),
        anon_rss: pages(Field::MmRssAnon),
        file_rss: pages(Field::MmRssFile),
        shmem_rss: pages(Field::MmRssShmem),
        pgtables: mm
            .and_then(|mm| field::<Direct, u64>(mm, Field::MmPgtablesBytes))
            .unwrap_or(UNKNOWN),
        pid: task.tgid().unwrap_or(tid),
        tid,
        oom_score_adj: task
            .follow(Field::TaskSignal)
            .and_then(|signal| field::<Direct, i16>(signal, Field::SignalOomScoreAdj))
            .map_or(i32::MIN, i32::from),
        pad: 0,
        comm: task.comm(),
    });
    0
}

/// `mark_victim(int pid)`: before 6.10
#[btf_tracepoint(function = "mark_victim")]
fn oom_btf_pid(ctx: BtfTracePointContext) -> i32 {
    let tid = ctx.arg::<i32>(0) as u32;
    info!(&ctx, "victim {}", tid);
    emit(Kind::OomVictim, |header| only_pid(header, tid));
    0
}

/// `oom:mark_victim`: `pid`, and from 6.10 on (or backported) `comm`, sizes in kB, `oom_score_adj`
#[tracepoint]
fn oom_tp(ctx: TracePointContext) -> i32 {
    let Some(tid) = read::<i32>(&ctx, Format::VictimPid) else {
        return 0;
    };
    info!(&ctx, "victim {}", tid);
    emit(Kind::OomVictim, |header| {
        let bytes = |of| read::<u64>(&ctx, of).map_or(UNKNOWN, |kib| kib.saturating_mul(1024));
        OomVictim {
            total_vm: bytes(Format::VictimTotalVm),
            anon_rss: bytes(Format::VictimAnonRss),
            file_rss: bytes(Format::VictimFileRss),
            shmem_rss: bytes(Format::VictimShmemRss),
            pgtables: bytes(Format::VictimPgtables),
            oom_score_adj: read::<i16>(&ctx, Format::VictimOomScoreAdj).map_or(i32::MIN, i32::from),
            comm: comm(&ctx).unwrap_or([0; COMM_LEN]),
            ..only_pid(header, tid as u32)
        }
    });
    0
}

#[inline(always)]
fn read<T: Copy>(ctx: &TracePointContext, of: Format) -> Option<T> {
    let offset = settings::format(of);
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the helper behind it checks the address; the offset is this kernel's own.
    unsafe { ctx.read_at(offset as usize) }.ok()
}

/// A `__data_loc` field holds the text's offset in its low half; `TASK_COMM_LEN` bytes follow there at most.
#[inline(always)]
fn comm(ctx: &TracePointContext) -> Option<[u8; COMM_LEN]> {
    let at = read::<u32>(ctx, Format::VictimComm)? & 0xffff;
    let mut comm = [0_u8; COMM_LEN];
    let text = ctx.as_ptr().cast::<u8>().wrapping_add(at as usize);
    // SAFETY: the helper checks the address, and writes `COMM_LEN` bytes at most, its NUL included.
    let written = unsafe { bpf_probe_read_kernel_str(comm.as_mut_ptr().cast(), COMM_LEN as u32, text.cast()) };
    (written > 0).then_some(comm)
}

#[inline(always)]
fn only_pid(header: Header, tid: u32) -> OomVictim {
    OomVictim {
        header,
        start_ns: 0,
        cgroup_id: 0,
        total_vm: UNKNOWN,
        anon_rss: UNKNOWN,
        file_rss: UNKNOWN,
        shmem_rss: UNKNOWN,
        pgtables: UNKNOWN,
        pid: tid,
        tid,
        oom_score_adj: i32::MIN,
        pad: 0,
        comm: [0; COMM_LEN],
    }
}
