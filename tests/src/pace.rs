//! How fast this machine is: reads the environment, produces durations that suit it.

use std::{env, time::Duration};

/// Environment variable: how many times slower than usual this machine is, 1 by default. A guest whose processor is emulated sets it.
/// It stretches how long is waited at most, and how far two readings are apart; what is asserted of them stays.
pub const SLOWER: &str = "OBSERVER_SLOWER";

/// The duration on this machine.
pub fn stretched(duration: Duration) -> Duration {
    let times = env::var(SLOWER).ok().and_then(|times| times.parse().ok());
    duration * times.unwrap_or(1)
}
