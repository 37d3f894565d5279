//! Detection: reads the levels and the ends of a slot's runs, produces verdicts, one per change of state.
//!
//! [`SlotDetector`] is the whole of it: one per slot, streaming, at most [`MAX_BYTES`] of state, and a pure function of
//! what it was given, in that order. What it evaluates and why stands in `docs/detection.md`. Layers, each of which knows
//! only those above it in this list:
//!
//! - [`config`], [`statistics`], [`thresholds`]: durations at the slot's time scale; lines, medians, correlations; every
//!   number that decides;
//! - [`history`]: the levels of a run, from its last minutes to its whole life;
//! - [`growth`]: whether a stretch of it grows, how fast, towards which ceiling, and how near that is;
//! - [`sawtooth`]: records of ended runs, and which of them rose alike;
//! - [`state`]: what is said of the slot, and when that changes;
//! - [`replay`]: histories of many series, row by row.

pub mod config;
pub mod growth;
pub mod history;
pub mod replay;
pub mod sawtooth;
pub mod state;
pub mod statistics;
pub mod thresholds;

pub use self::{
    config::DetectConfig,
    growth::pace::Pace,
    history::point::{Ceilings, Point, RunEnd},
    state::{
        progress,
        slot::{Counts, MAX_BYTES, SlotDetector},
    },
};
pub use crate::finding::{Attribution, Blame, Comparison, Forecast, Gate, HeapEvidence, Side, State, Verdict};
