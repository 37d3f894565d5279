//! The sawtooth: reads the records of ended runs, says which rose alike, at which level they died, and whether kills recur.
//! Knows growth and history; nothing of the run in progress or of verdicts.

pub(in crate::detect) mod alike;
pub(in crate::detect) mod ended;
mod pattern;
pub mod record;
pub(in crate::detect) mod recurring;
