//! How a run ended, and why: reads what was seen of a death, produces its [`End`].

mod decide;
mod senders;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use decide::{Evidence, Victim, decide};
pub use senders::signal_name;

use crate::{finding::Confidence, kernel::ExitStatus, time::BootTime};

/// Why a run ended (docs/telemetry.md, exit causes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel's OOM killer.
    KernelOom,
    /// systemd-oomd, oomd, earlyoom: a SIGKILL from user space for memory.
    UserspaceOom,
    /// V8's heap limit.
    V8HeapOom,
    /// SIGTERM while the owner replaced the version.
    Rollout,
    /// SIGTERM otherwise.
    Terminated,
    /// Killed by its supervisor after failed liveness probes.
    Liveness,
    /// Another fatal signal.
    Crash,
    /// A non-zero exit code.
    ErrorExit,
    /// Exit code 0.
    Completed,
    /// Not seen.
    Unknown,
}

impl Cause {
    /// The name that leaves the agent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelOom => "kernel_oom",
            Self::UserspaceOom => "userspace_oom",
            Self::V8HeapOom => "v8_heap_oom",
            Self::Rollout => "rollout",
            Self::Terminated => "terminated",
            Self::Liveness => "liveness",
            Self::Crash => "crash",
            Self::ErrorExit => "error_exit",
            Self::Completed => "completed",
            Self::Unknown => "unknown",
        }
    }

    /// The cause of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::KernelOom,
            Self::UserspaceOom,
            Self::V8HeapOom,
            Self::Rollout,
            Self::Terminated,
            Self::Liveness,
            Self::Crash,
            Self::ErrorExit,
            Self::Completed,
            Self::Unknown,
        ]
        .into_iter()
        .find(|cause| cause.name() == name)
    }

    /// It died at a ceiling: an end that a leak causes.
    pub const fn at_ceiling(self) -> bool {
        matches!(self, Self::KernelOom | Self::UserspaceOom | Self::V8HeapOom)
    }
}

/// How a run ended, with what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub cause: Cause,
    /// Seen, or concluded.
    pub confidence: Confidence,
    /// Exit code or signal, where seen.
    pub status: Option<ExitStatus>,
    /// Sender of the fatal signal, where a process sent it.
    pub sender: Option<Sender>,
    /// What decided, in words.
    pub because: String,
}

impl End {
    /// An end of which nothing was seen.
    pub fn unseen() -> Self {
        Self {
            cause: Cause::Unknown,
            confidence: Confidence::Inferred,
            status: None,
            sender: None,
            because: "its end was not seen".to_owned(),
        }
    }
}

/// A process that sent a fatal signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Its pid on the host.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// The signal.
    pub signal: u8,
}

/// A signal that was generated for a watched process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSeen {
    /// When.
    pub at: BootTime,
    /// Signal number.
    pub signal: u8,
    /// `si_code`: positive from the kernel, 0 or negative from a process.
    pub code: i32,
    /// False where the kernel ignored it.
    pub delivered: bool,
    /// Sender's thread-group id.
    pub sender_pid: u32,
    /// Sender's name.
    pub sender_comm: String,
}

/// Who killed for memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OomKiller {
    /// The kernel.
    Kernel,
    /// A userspace daemon, by name.
    Userspace(String),
}
