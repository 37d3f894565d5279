//! The hooks: which programs serve each on which rung, what a rung needs, and what is lost by falling to it.

use observer_common::layout::{Field, Format};

/// A place in the kernel that the agent listens at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A process replaced its image.
    Exec,
    /// A process has gone.
    Exit,
    /// The kernel chose a victim.
    OomVictim,
    /// A fatal signal to a watched process.
    Signal,
    /// A watched process forked.
    Fork,
    /// A cgroup was made.
    CgroupMkdir,
    /// A cgroup was released.
    CgroupRelease,
    /// Memory asked for, by place.
    Growth,
}

/// How a hook is served, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// A BTF tracepoint: the kernel's own types, no tracefs, no perf event.
    TpBtf,
    /// A plain tracepoint through tracefs.
    Tracepoint,
    /// Not at all: what files tell must do.
    Files,
}

impl Rung {
    /// Name, as it is shown and counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Tracepoint => "tracepoint",
            Self::Files => "files only",
        }
    }
}

/// The program of [`Hook::Growth`], which is attached and detached while the agent runs.
pub(super) const GROWTH_PROGRAM: &str = "growth_btf";

/// The plain tracepoint that serves a hook.
pub(super) struct Tracepoint {
    /// Name of the program in the object.
    pub(super) program: &'static str,
    /// Category of the tracepoint.
    pub(super) category: &'static str,
    /// Fields without which the program would stay silent.
    pub(super) needs: &'static [Format],
}

impl Hook {
    /// All hooks, the indispensable first.
    pub const ALL: [Self; 8] = [
        Self::Exec,
        Self::Exit,
        Self::OomVictim,
        Self::Signal,
        Self::Fork,
        Self::CgroupMkdir,
        Self::CgroupRelease,
        Self::Growth,
    ];

    /// Name, as it is shown and counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::OomVictim => "oom_victim",
            Self::Signal => "signal",
            Self::Fork => "fork",
            Self::CgroupMkdir => "cgroup_mkdir",
            Self::CgroupRelease => "cgroup_release",
            Self::Growth => "growth",
        }
    }

    /// Name of the tracepoint in the kernel.
    pub(super) const fn tracepoint(self) -> &'static str {
        match self {
            Self::Exec => "sched_process_exec",
            Self::Exit => "sched_process_exit",
            Self::OomVictim => "mark_victim",
            Self::Signal => "signal_generate",
            Self::Fork => "sched_process_fork",
            Self::CgroupMkdir => "cgroup_mkdir",
            Self::CgroupRelease => "cgroup_release",
            Self::Growth => "sys_exit",
        }
    }

    /// Programs that can serve the first rung, by the kind of the prototype's first argument. They report the same; the
    /// first that the verifier accepts is taken.
    pub(super) const fn btf_programs(self, first_is_pointer: bool) -> &'static [&'static str] {
        match self {
            Self::Exec => &["exec_btf"],
            Self::Exit => &["exit_btf"],
            Self::OomVictim if first_is_pointer => &["oom_btf_task"],
            Self::OomVictim => &["oom_btf_pid"],
            Self::Signal => &["signal_btf", "signal_btf_direct"],
            Self::Fork => &["fork_btf"],
            Self::CgroupMkdir => &["cgroup_mkdir_btf"],
            Self::CgroupRelease => &["cgroup_release_btf"],
            Self::Growth => &[GROWTH_PROGRAM],
        }
    }

    /// Fields without which the first rung would report wrongly, or not at all.
    pub(super) const fn btf_needs(self) -> &'static [Field] {
        use Field as F;
        match self {
            Self::Exec => &[F::TaskStartBoottime],
            Self::Exit => &[F::TaskGroupLeader, F::TaskStartBoottime, F::TaskSignal, F::SignalLive],
            Self::OomVictim => &[],
            Self::Signal => &[F::TaskTgid, F::TaskGroupLeader, F::TaskStartBoottime],
            Self::Fork => &[F::TaskPid, F::TaskTgid, F::TaskStartBoottime],
            Self::CgroupMkdir | Self::CgroupRelease => &[F::CgroupRoot, F::CgroupRootHierarchy],
            Self::Growth => &[
                F::RegsNumber,
                F::RegsArg0,
                F::RegsArg1,
                F::RegsArg2,
                F::RegsArg3,
                F::TaskMm,
                F::MmDataVm,
            ],
        }
    }

    /// The second rung, where there is one.
    pub(super) const fn plain(self) -> Option<Tracepoint> {
        use Format as F;
        let (program, category, needs): (_, _, &[Format]) = match self {
            Self::Exec => ("exec_tp", "sched", &[]),
            Self::Exit => ("exit_tp", "sched", &[]),
            Self::OomVictim => ("oom_tp", "oom", &[F::VictimPid]),
            Self::Signal => ("signal_tp", "signal", &[F::SignalNumber, F::SignalPid]),
            Self::Fork => ("fork_tp", "sched", &[F::ForkChildPid]),
            Self::CgroupMkdir => ("cgroup_mkdir_tp", "cgroup", &[F::CgroupPath, F::CgroupHierarchy]),
            Self::CgroupRelease => ("cgroup_release_tp", "cgroup", &[F::CgroupPath, F::CgroupHierarchy]),
            Self::Growth => return None,
        };
        Some(Tracepoint {
            program,
            category,
            needs,
        })
    }

    /// What the agent cannot tell when this hook is served by `rung`. `btf` says whether the kernel's types were read:
    /// the second rung uses them too.
    pub const fn lost(self, rung: Rung, btf: bool) -> &'static str {
        match (self, rung) {
            (Self::Exec, Rung::Tracepoint) if !btf => "start times: a reused pid may be taken for the old process",
            (Self::Exit, Rung::Tracepoint) if !btf => {
                "exit codes and signals; a process whose main thread leaves first is reported too early"
            }
            (Self::OomVictim, Rung::Tracepoint) => {
                "the victim's start time and cgroup; its process if a thread is named"
            }
            (Self::Signal, Rung::Tracepoint) => {
                "the target's start time; signals sent from outside to one thread instead of the process"
            }
            (Self::Fork, Rung::Tracepoint) => {
                "the child's start time; threads look like processes until they are inspected"
            }
            (_, Rung::TpBtf | Rung::Tracepoint) => "nothing",
            (Self::Exec, Rung::Files) => "processes that live for less than a scan of /proc",
            (Self::Exit, Rung::Files) => "exit codes, signals and exact times of death",
            (Self::OomVictim, Rung::Files) => {
                "which process was killed for memory; cgroup counters still show that one was"
            }
            (Self::Signal, Rung::Files) => "who sent a fatal signal",
            (Self::Fork, Rung::Files) => "forks without exec, until the next scan of /proc",
            (Self::CgroupMkdir | Self::CgroupRelease, Rung::Files) => "cgroups that live for less than a scan",
            (Self::Growth, Rung::Files) => "where memory grows (V8 heap, malloc, buffers); that it grows is still seen",
        }
    }
}
