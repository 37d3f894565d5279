//! Recordings: reads a sequence of Inputs, produces the findings that the engine made of them when they were recorded.
//!
//! A recording begins with [`crate::What::Begin`], which carries the number of the layout. A replay throws the engine's
//! requests away: their answers are in the recording.

use std::collections::VecDeque;

use crate::{Engine, Finding, Input};

/// Number of the layout of recordings ([`Input`]), of the engine's stored state and of stored findings and runs. It is
/// raised with every change that older text cannot be read across; `observer::layout` reads older ones forward.
pub const LAYOUT: u32 = 2;

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
