//! How commands end: produces the codes that docs/commands.md tells.

use std::process::ExitCode;

/// How a command ended. docs/commands.md tells the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Success = 0,
    /// It failed while running.
    Failure = 1,
    /// The command line or the configuration cannot be used.
    Usage = 2,
    /// `doctor`: something the agent wants is not possible on this host. `audit`, `watch`: something leaks.
    Limited = 3,
    /// `watch`: it could not be judged.
    NotJudged = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
