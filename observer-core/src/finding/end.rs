//! How a run ended: its cause, its status, who sent the signal, and whether that was seen or inferred. Plain data.

use serde::{Deserialize, Serialize};

use crate::kernel::ExitStatus;

/// Whether a thing was seen or concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The kernel, a counter or the service itself said so.
    Observed,
    /// Concluded from what was seen.
    Inferred,
}

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
    /// Its pod was evicted from the node.
    Evicted,
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
            Self::Evicted => "evicted",
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
            Self::Evicted,
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

/// Who killed for memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OomKiller {
    /// The kernel.
    Kernel,
    /// A userspace daemon, by name.
    Userspace(String),
}
