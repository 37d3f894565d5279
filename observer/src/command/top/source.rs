//! What feeds the board: the running agent, or a recording.

use crate::view::top::Instant;

/// What is new.
pub(super) enum News {
    /// What is watched now.
    Watched(Instant),
    /// Why there is nothing newer.
    Trouble(String),
}

/// Where what is shown comes from.
pub(super) trait Source {
    /// What is new, if anything is; `held` while the board holds.
    fn next(&mut self, held: bool) -> anyhow::Result<Option<News>>;

    /// The findings about a service, oldest first, in sentences.
    fn findings(&mut self, service: &str) -> Vec<String>;

    /// Goes on by one step.
    fn step(&mut self) {}

    /// Plays so many times as fast.
    fn faster(&mut self, _factor: f64) {}
}
