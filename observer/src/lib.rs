//! The agent: loader, sources, exporters, terminal views.

pub mod agent;
mod causes;
mod clock;
pub mod command;
pub mod config;
pub mod export;
pub mod history;
pub mod host;
pub mod kernel;
pub mod layout;
pub mod question;
pub mod record;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod terminal;
pub mod view;
