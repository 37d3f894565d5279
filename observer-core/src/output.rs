//! What one step of the engine produces.

use crate::{
    finding::{EndedRun, Finding},
    input::Request,
};

/// What one step of the engine gives back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Facts and samples the engine wants; a replay throws them away.
    pub requests: Vec<Request>,
    /// What the engine states.
    pub findings: Vec<Finding>,
    /// Runs that have ended, each once, when nothing more can be learnt of it.
    pub ended: Vec<EndedRun>,
}
