//! What is known of a process: never a bare pid, and never more of its environment than the named keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::{BootTime, SECOND, USER_HZ};

/// A process for ever: its thread-group id in the agent's pid namespace, and its start in clock ticks since boot.
///
/// Ticks (10 ms), because that is the resolution both the kernel's `start_boottime` and `/proc/PID/stat` can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Thread-group id.
    pub pid: u32,
    /// Start, in ticks of `USER_HZ` since boot; 0 where only the pid is known.
    pub start: u64,
}

impl ProcessKey {
    /// From the kernel's nanoseconds of boot time.
    pub const fn from_kernel(pid: u32, start_ns: u64) -> Self {
        Self {
            pid,
            start: start_ns / (SECOND / USER_HZ),
        }
    }

    /// Start as an instant (rounded down to a tick).
    pub const fn started(&self) -> BootTime {
        BootTime(self.start.saturating_mul(SECOND / USER_HZ))
    }
}

/// What a process runs: which JavaScript runtime, and how that was recognised, or the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Node.js.
    Node {
        /// `major.minor.patch`, where it could be read from the binary.
        version: Option<String>,
        /// What gave it away.
        evidence: NodeEvidence,
    },
    /// The agent itself, where it was told to watch itself.
    Agent,
    /// Anything else: not watched.
    Other,
}

/// How a Node.js process was recognised, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEvidence {
    /// The executable exports `node::Start`.
    ElfSymbol,
    /// The same, in a single-executable application.
    SingleExecutable,
    /// A distribution build: `libnode.so.N` is mapped.
    Libnode,
    /// Only the executable's name could be read.
    ExecutableName,
}

/// V8 flags that move the heap limit, from argv and `NODE_OPTIONS` (argv wins, as in Node itself).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapFlags {
    /// `--max-old-space-size`, MiB.
    pub max_old_space_mib: Option<u64>,
    /// `--max-old-space-size-percentage`, percent of the memory available to the process.
    pub max_old_space_percent: Option<f64>,
    /// `--max-semi-space-size`, MiB.
    pub max_semi_space_mib: Option<u64>,
    /// `--max-heap-size`, MiB.
    pub max_heap_mib: Option<u64>,
}

/// The answer to an inspection of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Which process.
    pub key: ProcessKey,
    /// Its parent when inspected.
    pub parent: ProcessKey,
    /// What it runs.
    pub runtime: Runtime,
    /// Name of the main thread. Identifies nothing; shown to people.
    pub comm: String,
    /// Path of the executable as the process sees it; empty where it could not be read.
    pub exe: String,
    /// The main script: the first argument that is neither an option nor an option's value.
    pub script: Option<String>,
    /// Working directory as the process sees it.
    pub cwd: Option<String>,
    /// Heap flags from argv and `NODE_OPTIONS`.
    pub heap_flags: HeapFlags,
    /// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` of its environment; nothing else of it is kept.
    pub otel: BTreeMap<String, String>,
    /// Attributes of the Resource that its SDK publishes in its memory (OpenTelemetry's process context), once read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published: BTreeMap<String, String>,
    /// Nearest package.json of the main script: its name and version.
    pub package: Option<Package>,
    /// Its cgroup, in the hierarchy that accounts for memory.
    pub cgroup: String,
    /// Pid in its own (innermost) pid namespace: 1 is a container's init.
    pub ns_pid: u32,
    /// It lives in another pid namespace than the host's init: a container, whatever the path says.
    pub containerised: bool,
    /// The nearest cgroup, its own or one above, that has a memory limit of its own and is neither an engine's container nor
    /// a unit: a container that nobody announced. `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
}

impl ProcessFacts {
    /// Whether the agent watches it.
    pub const fn is_watched(&self) -> bool {
        matches!(self.runtime, Runtime::Node { .. } | Runtime::Agent)
    }
}

/// The answer to [`crate::Request::ReadResource`]: what may have changed of a process since it was inspected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedResource {
    /// Which process.
    pub process: ProcessKey,
    /// Its attributes; none where it publishes nothing.
    pub attributes: BTreeMap<String, String>,
    /// The cgroup it is in by now: it may have been moved since it was inspected.
    pub cgroup: String,
    /// The nearest cgroup with a limit of its own by now, as [`ProcessFacts::limit_cgroup`] has it.
    pub limit_cgroup: Option<String>,
}

/// Name and version from a package.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// `name`
    pub name: String,
    /// `version`
    pub version: Option<String>,
}
