//! Rows of a history, what is said of them, and what was not taken. Plain data.

use crate::{
    finding::{Cause, Misfit, RecurringOom, Verdict},
    time::BootTime,
};

/// One row. Sizes in bytes, times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row<'a> {
    /// Whose it is: a container's place, the same over restarts.
    pub series: &'a str,
    /// When, seconds from any fixed instant, at least 0.
    pub t: f64,
    /// Anonymous memory (with swap and shared memory where known).
    pub anon: f64,
    /// Page cache.
    pub file: Option<f64>,
    /// The memory limit in force.
    pub limit: Option<f64>,
    /// CPU in use, cores (any unit will do, since only its changes matter).
    pub cpu: Option<f64>,
    /// Changes at a restart; `None` where it is the same as in the row before.
    pub run: Option<u64>,
    /// On a run's last row: why it ended.
    pub end: Option<Cause>,
    /// What is running.
    pub version: Option<&'a str>,
    /// The owner's kind: `Deployment`, `Job`, ..
    pub kind: Option<&'a str>,
    /// V8's heap limit.
    pub heap_limit: Option<f64>,
}

/// What is said of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said<'a> {
    /// A change of state.
    Verdict(&'a Verdict),
    /// Its ceilings contradict each other; once for each pair of them.
    Misfit(BootTime, &'a Misfit),
    /// It is killed again and again.
    Recurring(BootTime, &'a RecurringOom),
}

/// What rows were not taken, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// At the time of the one before, within a series.
    pub duplicates: u64,
    /// Before the one before, within a series.
    pub backwards: u64,
    /// Taken, with a limit of 0 or beyond any host: as without.
    pub limits: u64,
    /// Taken, with a load below 0: as 0.
    pub shrunk: u64,
}
