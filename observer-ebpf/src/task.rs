//! A `struct task_struct`, as far as records need it.

use core::marker::PhantomData;

use aya_ebpf::helpers::generated::bpf_get_current_task;
use observer_common::{COMM_LEN, layout::Field};

use crate::memory::{Memory, Probed, argument, field, pointer};

/// A task, read by `M`.
pub(crate) struct Task<M>(*const u8, PhantomData<M>);

impl Task<Probed> {
    /// The running task.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: the helper has no preconditions; what it returns is only read through checked helpers.
        Self::new(unsafe { bpf_get_current_task() } as *const u8)
    }
}

impl<M: Memory> Task<M> {
    #[inline(always)]
    pub(crate) fn new(task: *const u8) -> Self {
        Self(task, PhantomData)
    }

    /// The task that a BTF tracepoint passes; `None` where it passes none.
    #[inline(always)]
    pub(crate) fn passed(task: *const u8) -> Option<Self> {
        argument(task).map(Self::new)
    }

    #[inline(always)]
    pub(crate) fn get<T: Copy>(&self, of: Field) -> Option<T> {
        field::<M, T>(self.0, of)
    }

    #[inline(always)]
    pub(crate) fn follow(&self, to: Field) -> Option<*const u8> {
        pointer::<M>(self.0, to)
    }

    #[inline(always)]
    pub(crate) fn tid(&self) -> Option<u32> {
        self.get(Field::TaskPid)
    }

    #[inline(always)]
    pub(crate) fn tgid(&self) -> Option<u32> {
        self.get(Field::TaskTgid)
    }

    /// The main thread, dead or alive: it stays until the last one has gone.
    #[inline(always)]
    pub(crate) fn leader(&self) -> Option<Self> {
        self.follow(Field::TaskGroupLeader).map(Self::new)
    }

    /// Start in nanoseconds of boot time; 0 where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn start_ns(&self) -> u64 {
        self.get(Field::TaskStartBoottime).unwrap_or(0)
    }

    /// Thread-group id of the parent; 0 where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn parent_tgid(&self) -> u32 {
        self.follow(Field::TaskRealParent)
            .and_then(|parent| field::<M, u32>(parent, Field::TaskTgid))
            .unwrap_or(0)
    }

    /// Id of the task's cgroup in the unified hierarchy; 0 where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn cgroup_id(&self) -> u64 {
        self.follow(Field::TaskCgroups)
            .and_then(|set| pointer::<M>(set, Field::CssSetDefault))
            .and_then(|cgroup| pointer::<M>(cgroup, Field::CgroupNode))
            .and_then(|node| field::<M, u64>(node, Field::KernfsNodeId))
            .unwrap_or(0)
    }

    /// The thread's name, NUL-padded.
    #[inline(always)]
    pub(crate) fn comm(&self) -> [u8; COMM_LEN] {
        // Two words: an array of bytes would be loaded byte by byte.
        let words: [u64; COMM_LEN / 8] = [0, 8].map(|at| self.comm_word(at));
        let mut comm = [0; COMM_LEN];
        comm[..8].copy_from_slice(&words[0].to_ne_bytes());
        comm[8..].copy_from_slice(&words[1].to_ne_bytes());
        comm
    }

    #[inline(always)]
    fn comm_word(&self, at: u32) -> u64 {
        let offset = crate::settings::offset(Field::TaskComm);
        if offset == observer_common::layout::ABSENT {
            return 0;
        }
        M::load(self.0, offset + at).unwrap_or(0)
    }
}
