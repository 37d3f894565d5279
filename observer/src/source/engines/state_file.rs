//! A file in which a container engine keeps its state: reads JSON of bounded length, or says why not.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// Largest state file read, bytes. A container's has some 10 kB; podman's list of all of them 1 kB each.
const LARGEST: u64 = 16 << 20;
/// Why a container's state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file is there and cannot be read.
    #[error("cannot read {path}: {source}; mount it read-only into the agent, or names of containers stay unknown")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not as this engine's versions known so far write it.
    #[error(
        "{path} has a form that no known version of the container engine writes: {source}; please report the engine's version"
    )]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The engine's socket does not answer as it should.
    #[error("cannot ask the container engine at {path}: {source}; see --engine-socket")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads a JSON file; `None` where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    let failed = |source| EngineError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|source| EngineError::Malformed {
        path: path.to_path_buf(),
        source,
    })
}

/// The text, where it is not empty.
pub(super) fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
