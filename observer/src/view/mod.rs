//! Views for people: read what was recorded, produce text and pictures for a terminal.

pub mod case;
pub mod explain;
pub mod history;
mod question;
pub mod sawtooth;
pub mod timeline;
pub mod top;
pub mod workloads;
