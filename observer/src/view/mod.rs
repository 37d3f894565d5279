//! Views for people: read what was recorded, produce text for a terminal.

pub mod chart;
pub mod history;
