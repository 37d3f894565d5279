//! Why the store cannot be used.

use std::{io, path::PathBuf};

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("cannot create the store's directory {path}: {error}; nothing will outlive this agent")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The database cannot be opened.
    #[error("cannot open the store {path}: {reason}; nothing will outlive this agent")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why: another agent has it, or it is damaged and cannot be put aside.
        reason: String,
    },
    /// There is none to be read.
    #[error("there is no store in {path}: `observer run --store DIR` makes one")]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("cannot read the store {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why: an agent has it, or it is damaged.
        reason: String,
    },
    /// No thread.
    #[error("cannot start the store's thread: {0}")]
    Thread(#[from] io::Error),
}
