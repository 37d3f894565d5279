//! The store: keeps what waits to be delivered across the agent's death. Reads and writes one embedded database.

mod spool;
#[cfg(test)]
mod tests;

pub use spool::{Spool, SpoolCounts, StoreError};
