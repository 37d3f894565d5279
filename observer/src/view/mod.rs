//! Views for people: read what was recorded, produce text and pictures for a terminal.

pub mod case;
pub(crate) mod document;
pub mod explain;
pub mod history;
pub mod report;
pub mod sawtooth;
pub mod timeline;
pub mod top;
mod wording;
pub mod workloads;
