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

/// Number of slots in the `DROPS` map: one past the largest [`Kind`], plus slot 0 for growth-map overflow.
pub const DROP_SLOTS: u32 = 8;
/// Slot of `DROPS` that counts growth which found no room in the `GROWTH` map.
pub const DROP_GROWTH: u32 = 0;

impl Kind {
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

/// A new process (not a thread) was forked (`sched:sched_process_fork`).
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

/// Longest cgroup path carried by [`Cgroup`]; longer ones are cut, and `path_len` says the true length.
pub const CGROUP_PATH_LEN: usize = 256;

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
    /// Bytes of the path, which may exceed what `path` holds.
    pub path_len: u32,
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// Path below the hierarchy's root, NUL-padded.
    pub path: [u8; CGROUP_PATH_LEN],
}

const _: () = {
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<Exec>() == 56);
    assert!(size_of::<Fork>() == 32);
    assert!(size_of::<Exit>() == 64);
    assert!(size_of::<OomVictim>() == 104);
    assert!(size_of::<Signal>() == 64);
    assert!(size_of::<Cgroup>() == 296);
};
