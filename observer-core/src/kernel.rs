//! Edges, as the kernel programs report them, in the core's own types.

use serde::{Deserialize, Serialize};

use crate::process::ProcessKey;

/// Something the kernel told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelEvent {
    /// A process replaced its image.
    Exec {
        /// Which.
        process: ProcessKey,
        /// Parent's thread-group id.
        ppid: u32,
        /// Name of the main thread.
        comm: String,
    },
    /// A process was forked.
    Fork {
        /// The child.
        process: ProcessKey,
        /// Parent's thread-group id.
        ppid: u32,
    },
    /// The last thread of a process has gone.
    Exit {
        /// Which.
        process: ProcessKey,
        /// Wait status; `None` where the hook or its rung does not tell.
        status: Option<ExitStatus>,
        /// Name of the main thread.
        comm: String,
        /// Largest resident set of its last image, bytes; `None` where the kernel does not tell (up to 6.15).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peak_rss: Option<u64>,
        /// A bound of that from above: images it ran before, and its parent's memory when it was forked, count too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_rss: Option<u64>,
    },
    /// The kernel chose a victim.
    OomVictim(OomVictim),
    /// A signal that can end a process was generated for a watched process.
    Signal(Signal),
    /// A cgroup was made.
    CgroupMkdir {
        /// Hierarchy: 0 is the unified one.
        root: u32,
        /// Its id within the hierarchy, never used again; 0 where the hook does not tell.
        #[serde(default)]
        id: u64,
        /// Path below the hierarchy's root.
        path: String,
    },
    /// A cgroup was released.
    CgroupRelease {
        /// Hierarchy: 0 is the unified one.
        root: u32,
        /// Its id within the hierarchy, never used again; 0 where the hook does not tell.
        #[serde(default)]
        id: u64,
        /// Path below the hierarchy's root.
        path: String,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// `exit(code)`
    Code(u8),
    /// Killed by a signal.
    Signal(u8),
}

impl ExitStatus {
    /// From a wait status (`wait(2)`): code in bits 8-15, signal in bits 0-6.
    pub const fn from_wait(status: u32) -> Self {
        match (status & 0x7f) as u8 {
            0 => Self::Code((status >> 8) as u8),
            signal => Self::Signal(signal),
        }
    }

    /// As a shell and a container runtime show it: the code, or 128 + the signal.
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code as i32,
            Self::Signal(signal) => 128 + signal as i32,
        }
    }
}

/// A victim of the kernel's OOM killer. Sizes in bytes, `None` where this kernel does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomVictim {
    /// Which; `start` is 0 where the hook gives only a pid.
    pub process: ProcessKey,
    /// The marked thread.
    pub tid: u32,
    /// Name of the marked thread.
    pub comm: String,
    /// Anonymous resident bytes.
    pub anon: Option<u64>,
    /// File-backed resident bytes.
    pub file: Option<u64>,
    /// Shared-memory resident bytes.
    pub shmem: Option<u64>,
    /// Bytes of page tables.
    pub pgtables: Option<u64>,
    /// `oom_score_adj`
    pub oom_score_adj: Option<i32>,
}

/// A signal on its way to a watched process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The target.
    pub target: ProcessKey,
    /// Signal number.
    pub signal: u8,
    /// `si_code`: positive from the kernel, 0 or negative from a process.
    pub code: i32,
    /// False where the kernel ignored it (a container's init and SIGABRT, for instance).
    pub delivered: bool,
    /// Sender's thread-group id.
    pub sender_pid: u32,
    /// Sender's name.
    pub sender_comm: String,
}
