//! The engine's stored state: reads an engine, produces bytes that begin with their layout's number; and back.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use observer_core::{Engine, recording::LAYOUT};
use serde_json::{Value, json};

use crate::layout::{self, LayoutError};

/// Longest state that is read back, bytes: 2,048 slots take some 30 MB.
const LONGEST: u64 = 256 << 20;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It has a layout that cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// It is cut off, changed, or not a state.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The state as bytes: the layout's number (little-endian), then gzipped JSON.
pub fn encode(engine: &Engine) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(LAYOUT.to_le_bytes().to_vec(), Compression::fast());
    let mut buffered = std::io::BufWriter::with_capacity(64 << 10, &mut encoder);
    serde_json::to_writer(&mut buffered, engine)?;
    buffered.flush()?;
    drop(buffered);
    encoder.finish()
}

/// The engine that was put away.
pub fn decode(bytes: &[u8]) -> Result<Engine, StateError> {
    let damaged = |what: &dyn std::fmt::Display| StateError::Damaged(what.to_string());
    let (found, body) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged(&"it is too short"))?;
    let found = u32::from_le_bytes(*found);
    layout::check(found, "")?;
    let mut json = Vec::new();
    GzDecoder::new(body)
        .take(LONGEST)
        .read_to_end(&mut json)
        .map_err(|error| damaged(&error))?;
    if found == LAYOUT {
        return serde_json::from_slice(&json).map_err(|error| damaged(&error));
    }
    let older: Value = serde_json::from_slice(&json).map_err(|error| damaged(&error))?;
    let mut restore = json!({ "restore": older });
    layout::upgrade(&mut restore, found);
    serde_json::from_value(restore["restore"].take()).map_err(|error| damaged(&error))
}
