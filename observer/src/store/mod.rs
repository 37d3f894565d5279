//! The store: keeps over the agent's death what waits to be delivered, what was found, and what the engine knew. Reads
//! and writes two embedded databases.

pub(crate) mod database;
mod error;
mod history;
mod overlay;
mod record;
mod rows;
pub mod state;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use history::{History, HistoryThread, engine, read};
pub use record::{HistoryCounts, Record};
