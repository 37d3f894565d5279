//! Views for people: read what was recorded, produce text for a terminal.

pub mod case;
pub mod chart;
pub mod explain;
pub mod history;
pub mod sketch;
pub mod timeline;
pub mod workloads;
