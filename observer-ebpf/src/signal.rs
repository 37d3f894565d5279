//! A signal that can end it was generated for a watched process, or for one that came just now.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::{debug, info};
use observer_common::{
    COMM_LEN,
    layout::{ABSENT, Field, Format},
    record::{Kind, REPORTED_SIGNALS, Signal},
};

use crate::{
    emit::emit,
    memory::{Direct, Memory, Probed, field},
    settings,
    task::Task,
    watched::may_be_watched,
};

/// `si_code` where the kernel passes no siginfo: `SEND_SIG_NOINFO` is 0 (sent by a process), `SEND_SIG_PRIV` is 1
/// (by the kernel) in place of a pointer (include/linux/sched/signal.h).
const SI_USER: i32 = 0;
const SI_KERNEL: i32 = 0x80;

/// `signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`,
/// 5.10 to 7.2. `info` may be a small integer instead of a pointer, and newer verifiers (Debian's 6.12.117 for one) admit
/// no direct load through it.
#[btf_tracepoint(function = "signal_generate")]
fn signal_btf(ctx: BtfTracePointContext) -> i32 {
    from_btf::<Probed>(&ctx)
}

/// The same for lockdown=confidentiality, where the helper is refused: older verifiers follow `info` as a pointer.
#[btf_tracepoint(function = "signal_generate")]
fn signal_btf_direct(ctx: BtfTracePointContext) -> i32 {
    from_btf::<Direct>(&ctx)
}

/// Reads `info` by `M`.
#[inline(always)]
fn from_btf<M: Memory>(ctx: &BtfTracePointContext) -> i32 {
    let signal = ctx.arg::<i32>(0) as u32;
    if !is_reported(signal) {
        return 0;
    }
    let Some(target) = Task::<Direct>::passed(ctx.arg(2)) else {
        return 0;
    };
    let Some(pid) = target.tgid() else {
        return 0;
    };
    let code = match ctx.arg::<u64>(1) {
        0 => SI_USER,
        1 => SI_KERNEL,
        _ => field::<M, i32>(ctx.arg(1), Field::SiginfoCode).unwrap_or(SI_USER),
    };
    let start_ns = target.leader().map_or(0, |leader| leader.start_ns());
    try_signal(ctx, signal, pid, start_ns, code, ctx.arg(4))
}

/// `signal:signal_generate`: `sig`, `code`, `pid` (the target *thread*), `result`
#[tracepoint]
fn signal_tp(ctx: TracePointContext) -> i32 {
    let (Some(signal), Some(tid)) = (read(&ctx, Format::SignalNumber), read(&ctx, Format::SignalPid)) else {
        return 0;
    };
    let (signal, tid) = (signal as u32, tid as u32);
    if !is_reported(signal) {
        return 0;
    }
    // A signal to the sender's own thread (abort, a fault) may go to any thread; one sent from outside goes to the
    // group, and the kernel passes its leader.
    let pid = if tid == ctx.pid() { ctx.tgid() } else { tid };
    let code = read(&ctx, Format::SignalCode).unwrap_or(SI_USER);
    try_signal(
        &ctx,
        signal,
        pid,
        0,
        code,
        read(&ctx, Format::SignalResult).unwrap_or(0),
    )
}

/// The sender is the running task: signals are generated in its context.
#[inline(always)]
fn try_signal(ctx: &impl EbpfContext, signal: u32, pid: u32, start_ns: u64, code: i32, result: i32) -> i32 {
    if may_be_watched(pid) {
        info!(ctx, "signal {} to {} by {}", signal, pid, ctx.tgid());
        emit(Kind::Signal, |header| Signal {
            header,
            start_ns,
            pid,
            signal,
            code,
            result,
            sender_pid: ctx.tgid(),
            pad: 0,
            sender_comm: ctx.command().unwrap_or([0; COMM_LEN]),
        });
    } else {
        debug!(ctx, "signal {} to {}, which is not watched", signal, pid);
    }
    0
}

#[inline(always)]
fn is_reported(signal: u32) -> bool {
    signal.wrapping_sub(1) < 64 && REPORTED_SIGNALS & (1 << (signal - 1)) != 0
}

#[inline(always)]
fn read(ctx: &TracePointContext, of: Format) -> Option<i32> {
    let offset = settings::format(of);
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the helper behind it checks the address; the offset is this kernel's own.
    unsafe { ctx.read_at(offset as usize) }.ok()
}
