//! Forecasts, and what a larger limit buys. Plain data.

use serde::{Deserialize, Serialize};

/// A forecast with its interval, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Ten in a hundred are sooner.
    pub p10: f64,
    /// The middle.
    pub p50: f64,
    /// Ten in a hundred are later.
    pub p90: f64,
}

/// What a larger limit of the container buys a run that goes on growing at the pace it was seen to grow at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LargerLimit {
    /// The limit, bytes: twice the one in force.
    pub limit: u64,
    /// Seconds by which it puts the end off.
    pub reprieve: Forecast,
    /// V8's heap limit, bytes, where it is lower: it may end the process before.
    pub heap_limit: Option<u64>,
}
