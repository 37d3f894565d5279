//! The pure engine of `observer`.
//!
//! Reads [`Input`]s (kernel events, facts, samples, gaps), produces [`Output`]s (requests for more facts, and
//! findings). There is no I/O, no clock, no async and no randomness in this crate: time arrives in Inputs, so a
//! recording is a file of Inputs and a replay is the same engine with its requests thrown away.

pub mod container;
pub mod container_facts;
pub mod decode;
pub mod detect;
pub mod engine;
pub mod exit;
pub mod finding;
pub mod heap;
pub mod identity;
pub mod input;
pub mod kernel;
pub mod memory_use;
mod output;
pub mod process;
pub mod recording;
mod registry;
pub mod sample;
pub mod selection;
pub mod semconv;
mod settings;
mod state;
pub mod telemetry;
pub mod time;
pub mod units;
pub mod v8_limit;

pub use finding::Finding;
pub use input::{Input, Request, What};
pub use output::Output;
pub use state::Engine;
