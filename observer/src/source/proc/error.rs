//! Why a process could not be read.

use std::io;

/// Why a process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// It ended, or its pid belongs to another process by now: `What::Vanished`.
    #[error("process {pid} ended before it was read, or its pid was given to another")]
    Gone {
        /// Its pid.
        pid: u32,
    },
    /// A file every process has could not be read.
    #[error("cannot read {file} of process {pid}: {source}; the agent needs the host's procfs (hostPID in Kubernetes)")]
    Read {
        /// Its pid.
        pid: u32,
        /// The file below `/proc/PID`.
        file: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the kernel's does not have the layout its manual gives.
    #[error(
        "{file} of process {pid} has a form that proc(5) does not describe; please report this with the kernel's version"
    )]
    Malformed {
        /// Its pid.
        pid: u32,
        /// The file below `/proc/PID`.
        file: &'static str,
    },
    /// The procfs itself could not be read.
    #[error("cannot list {root}: {source}; point --procfs at the host's procfs")]
    Root {
        /// Where procfs was looked for.
        root: String,
        /// What the kernel said.
        source: io::Error,
    },
}
