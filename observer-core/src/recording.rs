//! Recordings: reads a sequence of Inputs, produces the findings that the engine made of them when they were recorded.
//!
//! A recording begins with [`What::Begin`], which carries the version of the layout. A replay throws the engine's
//! requests away: their answers are in the recording.

use std::collections::VecDeque;

use crate::{Engine, Finding, Input, What};

/// Version of the layout of [`Input`]: changes when a recording made before can no longer be read as it was meant.
pub const FORMAT: u32 = 1;

/// Why a sequence of Inputs is not a recording that can be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReplayable {
    /// It does not begin with [`What::Begin`].
    NoBegin,
    /// Its layout is another one.
    Format {
        /// The layout it has.
        found: u32,
        /// The version of the agent that wrote it.
        agent: String,
    },
}

impl std::fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoBegin => f.write_str("it does not begin with the circumstances of the agent that recorded it"),
            Self::Format { found, agent } => {
                write!(
                    f,
                    "it has layout {found}, this observer reads layout {FORMAT}; replay it with observer {agent}"
                )
            }
        }
    }
}

impl std::error::Error for NotReplayable {}

/// Whether a recording that begins with this Input can be replayed.
pub fn check(first: Option<&Input>) -> Result<(), NotReplayable> {
    match first.map(|input| &input.what) {
        Some(What::Begin(begin)) if begin.format == FORMAT => Ok(()),
        Some(What::Begin(begin)) => Err(NotReplayable::Format {
            found: begin.format,
            agent: begin.agent.clone(),
        }),
        _ => Err(NotReplayable::NoBegin),
    }
}

/// The findings of a recording, in order.
#[derive(Clone, Debug)]
pub struct Replay<I> {
    engine: Engine,
    inputs: I,
    ready: VecDeque<Finding>,
}

/// Replays a sequence of Inputs with a new engine.
pub fn replay<I: Iterator<Item = Input>>(inputs: I) -> Replay<I> {
    Replay {
        engine: Engine::new(),
        inputs,
        ready: VecDeque::new(),
    }
}

impl<I> Replay<I> {
    /// The engine as it stands.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl<I: Iterator<Item = Input>> Iterator for Replay<I> {
    type Item = Finding;

    fn next(&mut self) -> Option<Finding> {
        while self.ready.is_empty() {
            let input = self.inputs.next()?;
            self.ready.extend(self.engine.step(&input).findings);
        }
        self.ready.pop_front()
    }
}
