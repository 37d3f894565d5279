//! The engine's state as it is put away: reads an engine, produces bytes with a version; and back.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use observer_core::Engine;

/// Version of the state's layout: changes whenever the engine's own does. A state of another version is not read.
pub const VERSION: u32 = 1;
/// Longest state that is read back, bytes: 2,048 slots take some 30 MB.
const LONGEST: u64 = 256 << 20;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It has another layout.
    #[error("it has layout {0}, this observer reads layout {VERSION}")]
    Version(u32),
    /// It is cut off, changed, or not a state.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The state as bytes: version, then gzipped JSON, which names its fields and survives a rename of none.
pub fn encode(engine: &Engine) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(VERSION.to_le_bytes().to_vec(), Compression::fast());
    let mut buffered = std::io::BufWriter::with_capacity(64 << 10, &mut encoder);
    serde_json::to_writer(&mut buffered, engine)?;
    buffered.flush()?;
    drop(buffered);
    encoder.finish()
}

/// The engine that was put away.
pub fn decode(bytes: &[u8]) -> Result<Engine, StateError> {
    let damaged = |what: &dyn std::fmt::Display| StateError::Damaged(what.to_string());
    let (version, body) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged(&"it is too short"))?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    let mut json = Vec::new();
    GzDecoder::new(body)
        .take(LONGEST)
        .read_to_end(&mut json)
        .map_err(|error| damaged(&error))?;
    serde_json::from_slice(&json).map_err(|error| damaged(&error))
}
