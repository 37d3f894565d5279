//! The agent: loader, sources, exporters, terminal views.

pub mod command;
pub mod config;
pub mod export;
pub mod record;
pub mod source;
