//! Where the kernel keeps what the programs read: one table of fields, resolved on the running kernel.
//!
//! The loader looks every field up in the kernel's BTF (or in a tracepoint's format file) and hands the offsets to
//! the programs as two arrays, [`crate::name::OFFSETS`] and [`crate::name::FORMATS`], before they are verified. The
//! verifier then sees constants: a load at such an offset is checked like any compiled-in one. A field that this
//! kernel lacks is [`ABSENT`], and the code that would read it is pruned.

/// The offset of a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! table {
    ($(#[$meta:meta])* $name:ident, $all:literal, $(#[$doc:meta])* fn $path:ident -> $ty:ty; $($(#[$variant_meta:meta])* $variant:ident => $value:expr,)+) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            #[doc = $all]
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            $(#[$doc])*
            pub const fn $path(self) -> $ty {
                match self { $(Self::$variant => $value,)+ }
            }
        }
    };
}

table! {
    /// A field of a kernel structure, read at an offset from BTF.
    Field, "All fields, in the order of their numbers.",
    /// The structure, and the path of members inside it (`.N` is the N-th element of an array).
    fn path -> (&'static str, &'static str);
    /// `int`: id of the thread
    TaskPid => ("task_struct", "pid"),
    /// `int`: id of the thread group
    TaskTgid => ("task_struct", "tgid"),
    /// `struct task_struct *`
    TaskGroupLeader => ("task_struct", "group_leader"),
    /// `struct task_struct *`
    TaskRealParent => ("task_struct", "real_parent"),
    /// `u64`, ns of boot time
    TaskStartBoottime => ("task_struct", "start_boottime"),
    /// `int`, a wait status
    TaskExitCode => ("task_struct", "exit_code"),
    /// `char[16]`
    TaskComm => ("task_struct", "comm"),
    /// `struct signal_struct *`
    TaskSignal => ("task_struct", "signal"),
    /// `struct mm_struct *`
    TaskMm => ("task_struct", "mm"),
    /// `struct css_set *`
    TaskCgroups => ("task_struct", "cgroups"),
    /// `atomic_t`: threads that have not begun to exit
    SignalLive => ("signal_struct", "live"),
    /// `int`, a wait status; means the group's end only while `SIGNAL_GROUP_EXIT` is in `flags`
    SignalGroupExitCode => ("signal_struct", "group_exit_code"),
    /// `unsigned int`
    SignalFlags => ("signal_struct", "flags"),
    /// `unsigned long`, pages: the largest resident set of every image the process has run, that of its parent before the
    /// first exec among them; set when the last thread begins to exit (kernel/exit.c, `do_exit`)
    SignalMaxRss => ("signal_struct", "maxrss"),
    /// `short`
    SignalOomScoreAdj => ("signal_struct", "oom_score_adj"),
    /// `struct cgroup *` of the unified hierarchy
    CssSetDefault => ("css_set", "dfl_cgrp"),
    /// `struct kernfs_node *`
    CgroupNode => ("cgroup", "kn"),
    /// `struct cgroup_root *`
    CgroupRoot => ("cgroup", "root"),
    /// `int`
    CgroupLevel => ("cgroup", "level"),
    /// `int`
    CgroupRootHierarchy => ("cgroup_root", "hierarchy_id"),
    /// `u64`
    KernfsNodeId => ("kernfs_node", "id"),
    /// `unsigned long`, pages
    MmTotalVm => ("mm_struct", "total_vm"),
    /// `unsigned long`, pages: private writable mappings
    MmDataVm => ("mm_struct", "data_vm"),
    /// `unsigned long`, pages: the largest resident set, as of the last time it shrank
    MmHiwaterRss => ("mm_struct", "hiwater_rss"),
    /// `atomic_long_t`, bytes
    MmPgtablesBytes => ("mm_struct", "pgtables_bytes"),
    /// `s64`, pages: `atomic_long_t` inside `struct mm_rss_stat` up to 6.1, the sum in a `percpu_counter` after it
    MmRssFile => ("mm_struct", "rss_stat.MM_FILEPAGES"),
    /// as above
    MmRssAnon => ("mm_struct", "rss_stat.MM_ANONPAGES"),
    /// as above
    MmRssShmem => ("mm_struct", "rss_stat.MM_SHMEMPAGES"),
    /// `int`: `si_code`
    SiginfoCode => ("kernel_siginfo", "si_code"),
    /// Number of the system call
    RegsNumber => ("pt_regs", REGS[0]),
    /// Its first argument
    RegsArg0 => ("pt_regs", REGS[1]),
    /// Its second argument
    RegsArg1 => ("pt_regs", REGS[2]),
    /// Its third argument
    RegsArg2 => ("pt_regs", REGS[3]),
    /// Its fourth argument
    RegsArg3 => ("pt_regs", REGS[4]),
}

/// Members of `pt_regs` that hold a system call's number and its first four arguments when it *exits*
/// (x86-64: the system call ABI; aarch64: `regs[0]` holds the result by then, `orig_x0` still the argument).
const REGS: [&str; 5] = if cfg!(target_arch = "aarch64") {
    ["syscallno", "orig_x0", "regs.1", "regs.2", "regs.3"]
} else {
    ["orig_ax", "di", "si", "dx", "r10"]
};

table! {
    /// A field of a tracepoint's record, read at an offset from its format file in tracefs.
    Format, "All fields, in the order of their numbers.",
    /// Category, event, field.
    fn path -> (&'static str, &'static str, &'static str);
    /// `pid_t`
    ForkChildPid => ("sched", "sched_process_fork", "child_pid"),
    /// `bool`; absent up to 6.12
    ExitGroupDead => ("sched", "sched_process_exit", "group_dead"),
    /// `int`: of the marked thread
    VictimPid => ("oom", "mark_victim", "pid"),
    /// `unsigned long`, kB; like the following, absent before 6.10 except where backported
    VictimTotalVm => ("oom", "mark_victim", "total_vm"),
    /// `unsigned long`, kB
    VictimAnonRss => ("oom", "mark_victim", "anon_rss"),
    /// `unsigned long`, kB
    VictimFileRss => ("oom", "mark_victim", "file_rss"),
    /// `unsigned long`, kB
    VictimShmemRss => ("oom", "mark_victim", "shmem_rss"),
    /// `unsigned long`, kB
    VictimPgtables => ("oom", "mark_victim", "pgtables"),
    /// `short`
    VictimOomScoreAdj => ("oom", "mark_victim", "oom_score_adj"),
    /// `__data_loc char[]`
    VictimComm => ("oom", "mark_victim", "comm"),
    /// `int`: signal number
    SignalNumber => ("signal", "signal_generate", "sig"),
    /// `int`: `si_code`
    SignalCode => ("signal", "signal_generate", "code"),
    /// `pid_t`: of the target thread
    SignalPid => ("signal", "signal_generate", "pid"),
    /// `int`: `TRACE_SIGNAL_*`
    SignalResult => ("signal", "signal_generate", "result"),
    /// `int`: hierarchy; `cgroup_release` has the same record
    CgroupHierarchy => ("cgroup", "cgroup_mkdir", "root"),
    /// `int`
    CgroupDepth => ("cgroup", "cgroup_mkdir", "level"),
    /// `u64`
    CgroupId => ("cgroup", "cgroup_mkdir", "id"),
    /// `__data_loc char[]`
    CgroupPath => ("cgroup", "cgroup_mkdir", "path"),
}

/// Number of [`Field`]s.
pub const FIELDS: usize = Field::ALL.len();
/// Number of [`Format`]s.
pub const FORMATS: usize = Format::ALL.len();

/// A number the loader hands to the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Setting {
    /// Bytes of a page.
    PageSize = 0,
    /// 1 where `sched_process_exit` says itself whether the thread is the group's last (not up to 6.12).
    ExitTellsGroupDead = 1,
    /// The hierarchy whose cgroups are reported: 0 for the unified one; [`ABSENT`] for all.
    CgroupHierarchy = 2,
    /// 1 where resident-page counters must be read through the helper: up to 6.1 they are an array of a typedef, into
    /// which the verifier of those kernels does not follow a typed load.
    RssByHelper = 3,
}

/// Number of [`Setting`]s.
pub const SETTINGS: usize = 4;
