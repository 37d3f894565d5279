//! The engine's stored state: reads an engine, produces bytes that begin with their layout's number; and back.

use std::{
    io::{Read, Write},
    sync::atomic::Ordering::Relaxed,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use observer_core::{Engine, recording::LAYOUT};
use redb::{ReadableTable, TableDefinition};
use serde_json::{Value, json};

use super::{HistoryCounts, database::unseal};
use crate::{
    layout::{self, LayoutError},
    terminal::say,
};

/// The engine's state under [`ENGINE`], sealed; beside it states of newer layouts, put aside by a downgrade.
pub(super) const STATES: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("states");
pub(super) const ENGINE: &str = "engine";
/// Beside the state: the number of the first record made after it.
pub(super) const FOLLOWS: &str = "follows";
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

/// The engine in a sealed state. What cannot be used is reported and counted; a state of a newer layout is to be put aside.
pub(super) fn take_over(sealed: &[u8], counts: &HistoryCounts) -> (Option<Engine>, Option<Aside>) {
    let decoded = match unseal(sealed) {
        Some(bytes) => decode(bytes),
        None => Err(StateError::Damaged("its checksum does not fit".into())),
    };
    let error = match decoded {
        Ok(engine) => return (Some(engine), None),
        Err(error) => error,
    };
    let mut aside = None;
    match &error {
        StateError::Layout(layout) => {
            counts.foreign.fetch_add(1, Relaxed);
            if let LayoutError::Newer { found, .. } = layout {
                aside = Some(Aside {
                    layout: *found,
                    sealed: sealed.to_vec(),
                });
            }
        }
        StateError::Damaged(_) => drop(counts.damaged.fetch_add(1, Relaxed)),
    }
    let kept = aside.as_ref().map_or("", |_| "; it is kept beside the new one");
    say(format_args!(
        "cannot use the state of an earlier agent: {error}; observation starts from nothing{kept}"
    ));
    (None, aside)
}

/// A state of a newer layout, kept under a name of its own so that the observer that wrote it can be given it back.
#[derive(Debug)]
pub(super) struct Aside {
    layout: u32,
    sealed: Vec<u8>,
}

impl Aside {
    /// Puts it there; the place of the engine's state is free then.
    pub(super) fn put(&self, states: &mut redb::Table<'_, &'static str, &'static [u8]>) -> Result<(), redb::Error> {
        states.insert(
            format!("{ENGINE}-layout-{}", self.layout).as_str(),
            self.sealed.as_slice(),
        )?;
        states.remove(ENGINE)?;
        Ok(())
    }
}

/// A state to go on from: the last one, or, where that was put aside by a downgrade and nothing followed it, the one of
/// this layout.
pub(super) fn last(states: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<Vec<u8>>, redb::Error> {
    let aside = format!("{ENGINE}-layout-{LAYOUT}");
    for name in [ENGINE, aside.as_str()] {
        if let Some(state) = states.get(name)? {
            return Ok(Some(state.value().to_vec()));
        }
    }
    Ok(None)
}
