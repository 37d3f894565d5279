//! Records sent from the kernel programs through the two ring buffers.
//!
//! Every record starts with a [`Header`]. Times are nanoseconds of `CLOCK_BOOTTIME`
//! (`bpf_ktime_get_boot_ns`). `start_ns` is `task_struct.group_leader->start_boottime`, also nanoseconds of
//! boot time: with the thread-group id it names a process for ever; `/proc/PID/stat` field 22 is the same
//! instant in clock ticks.

use crate::COMM_LEN;

/// What a record is; the index of its counter in the `DROPS` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    /// [`Exec`]
    Exec = 1,
    /// [`Fork`]
    Fork = 2,
    /// [`Exit`]
    Exit = 3,
    /// [`OomVictim`]
    OomVictim = 4,
    /// [`Signal`]
    Signal = 5,
    /// [`Cgroup`], at creation
    CgroupMkdir = 6,
    /// [`Cgroup`], at release
    CgroupRelease = 7,
}

/// Number of slots in the `DROPS` map: one past the largest [`Kind`]. Slot 0 stays empty.
pub const DROP_SLOTS: u32 = 8;

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; DROP_SLOTS as usize - 1] = [
        Self::Exec,
        Self::Fork,
        Self::Exit,
        Self::OomVictim,
        Self::Signal,
        Self::CgroupMkdir,
        Self::CgroupRelease,
    ];

    /// Name, as it is counted and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Fork => "fork",
            Self::Exit => "exit",
            Self::OomVictim => "oom_victim",
            Self::Signal => "signal",
            Self::CgroupMkdir => "cgroup_mkdir",
            Self::CgroupRelease => "cgroup_release",
        }
    }

    /// The kind with this number, if there is one.
    pub const fn from_u32(kind: u32) -> Option<Self> {
        Some(match kind {
            1 => Self::Exec,
            2 => Self::Fork,
            3 => Self::Exit,
            4 => Self::OomVictim,
            5 => Self::Signal,
            6 => Self::CgroupMkdir,
            7 => Self::CgroupRelease,
            _ => return None,
        })
    }
}

/// First bytes of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// A [`Kind`], as a number: a record of an unknown kind is counted, never transmuted.
    pub kind: u32,
    /// Bytes of the whole record, header included.
    pub len: u32,
    /// When it happened: nanoseconds of boot time.
    pub at_ns: u64,
}

/// A process replaced its image (`sched:sched_process_exec`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exec {
    /// `Kind::Exec`
    pub header: Header,
    /// Start of the process, nanoseconds of boot time.
    pub start_ns: u64,
    /// Id of the process's cgroup in the unified hierarchy; 0 where it says nothing (a pure v1 host).
    pub cgroup_id: u64,
    /// Thread-group id in the initial pid namespace.
    pub pid: u32,
    /// Thread-group id of the parent.
    pub ppid: u32,
    /// Name of the main thread, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

/// A watched process forked a new process, not a thread (`sched:sched_process_fork`). Other forks matter to nobody
/// before their exec, and are not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Fork {
    /// `Kind::Fork`
    pub header: Header,
    /// Start of the child, nanoseconds of boot time.
    pub start_ns: u64,
    /// Thread-group id of the child.
    pub pid: u32,
    /// Thread-group id of the parent.
    pub ppid: u32,
}

/// The last thread of a process has gone (`sched:sched_process_exit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exit {
    /// `Kind::Exit`
    pub header: Header,
    /// Start of the process, nanoseconds of boot time.
    pub start_ns: u64,
    /// Id of the process's cgroup in the unified hierarchy, or 0.
    pub cgroup_id: u64,
    /// Largest resident set of its last image, bytes; 0 where the kernel has let go of it by then (up to 6.15).
    pub peak_rss: u64,
    /// Largest resident set of every image it ran and of its parent's when it was forked, bytes: a bound from above; 0
    /// where the kernel's layout gave no offset for it.
    pub max_rss: u64,
    /// Thread-group id.
    pub pid: u32,
    /// Thread-group id of the parent.
    pub ppid: u32,
    /// Wait status as `wait(2)` reports it: exit code in bits 8-15, signal in bits 0-6, core flag in bit 7.
    pub status: u32,
    /// 1 where `status` could be read, 0 where the kernel's layout gave no offset for it.
    pub status_known: u32,
    /// Name of the main thread, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

/// The kernel chose a process to kill for memory (`oom:mark_victim`). Sizes in bytes; `u64::MAX` where this
/// kernel does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct OomVictim {
    /// `Kind::OomVictim`
    pub header: Header,
    /// Start of the victim, nanoseconds of boot time; 0 where the hook gives only a pid.
    pub start_ns: u64,
    /// Id of the victim's cgroup in the unified hierarchy, or 0: never that of the allocating task.
    pub cgroup_id: u64,
    /// Virtual size.
    pub total_vm: u64,
    /// Anonymous resident bytes.
    pub anon_rss: u64,
    /// File-backed resident bytes.
    pub file_rss: u64,
    /// Shared-memory resident bytes.
    pub shmem_rss: u64,
    /// Bytes of page tables.
    pub pgtables: u64,
    /// Thread-group id; where the hook gives only a thread's id, that one, with `tid == pid`.
    pub pid: u32,
    /// Id of the thread that was marked.
    pub tid: u32,
    /// `oom_score_adj`; `i32::MIN` where this kernel does not tell.
    pub oom_score_adj: i32,
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// Name of the marked thread, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

/// A signal that can end a process was generated for a watched process (`signal:signal_generate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Signal {
    /// `Kind::Signal`
    pub header: Header,
    /// Start of the target, nanoseconds of boot time.
    pub start_ns: u64,
    /// Thread-group id of the target.
    pub pid: u32,
    /// Signal number.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// `TRACE_SIGNAL_*` (include/trace/events/signal.h): 0 delivered, 1 ignored, 2 already pending,
    /// 3 overflow, 4 lost info.
    pub result: i32,
    /// Thread-group id of the sender: the task that was current.
    pub sender_pid: u32,
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// Name of the sending thread, NUL-padded.
    pub sender_comm: [u8; COMM_LEN],
}

/// Room for a cgroup's path in [`Cgroup`], the terminating NUL included. Nested systemd slices of Kubernetes in
/// Kubernetes reach about 350 bytes.
pub const CGROUP_PATH_LEN: usize = 512;

/// A cgroup was made or released (`cgroup:cgroup_mkdir`, `cgroup:cgroup_release`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Cgroup {
    /// `Kind::CgroupMkdir` or `Kind::CgroupRelease`
    pub header: Header,
    /// The cgroup's id within its hierarchy.
    pub id: u64,
    /// Hierarchy id: 0 is the unified one (v2); v1 controllers have their own.
    pub root: u32,
    /// Depth below the hierarchy's root.
    pub level: u32,
    /// Bytes of the path without its NUL. `CGROUP_PATH_LEN - 1` means that it was probably cut.
    pub path_len: u32,
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// Path below the hierarchy's root; undefined after `path_len` bytes.
    pub path: [u8; CGROUP_PATH_LEN],
}

const _: () = {
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<Exec>() == 56);
    assert!(size_of::<Fork>() == 32);
    assert!(size_of::<Exit>() == 80);
    assert!(size_of::<OomVictim>() == 104);
    assert!(size_of::<Signal>() == 64);
    assert!(size_of::<Cgroup>() == 552);
};

/// Signals reported for watched processes, bit `n - 1` for signal `n`: those that end a Node.js process unless it
/// handles them, or that an operator sends to end it. Left out: `SIGPIPE`, which Node ignores and every write to a
/// closed connection raises; timers and profiling (`SIGALRM`, `SIGVTALRM`, `SIGPROF`: V8's CPU profiler sends a
/// thousand a second); job control. Numbers are those of x86-64 and aarch64 (asm-generic/signal.h).
pub const REPORTED_SIGNALS: u64 = set(&[
    1, 2, 3, // HUP INT QUIT
    4, 5, 6, 7, 8, // ILL TRAP ABRT BUS FPE
    9, 15, // KILL TERM
    10, 12, // USR1 (fatal until Node installs its handler) USR2
    11, // SEGV
    24, 25, 31, // XCPU XFSZ SYS
]);

const fn set(signals: &[u32]) -> u64 {
    let mut mask = 0;
    let mut i = 0;
    while i < signals.len() {
        mask |= 1 << (signals[i] - 1);
        i += 1;
    }
    mask
}
