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
pub mod process;
pub mod recording;
mod registry;
pub mod sample;
pub mod semconv;
pub mod telemetry;
pub mod time;
pub mod v8_limit;

pub use engine::Engine;
pub use finding::Finding;
pub use input::{Input, Request, What};

/// What one step of the engine gives back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Facts and samples the engine wants; a replay throws them away.
    pub requests: Vec<Request>,
    /// What the engine states.
    pub findings: Vec<Finding>,
    /// Runs that have ended, each once, when nothing more can be learnt of it.
    pub ended: Vec<finding::EndedRun>,
}
