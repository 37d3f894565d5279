//! The engine's clock: reads the times of Inputs, produces now, the wall clock's time of an instant, and since when things
//! are counted.

use serde::{Deserialize, Serialize};

use crate::time::{Anchor, BootTime, WallTime};

/// Times that Inputs have told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// The latest time seen.
    pub(crate) now: BootTime,
    /// The latest time seen before this Input.
    pub(crate) last: BootTime,
    /// When this agent began.
    pub(crate) begun: BootTime,
    /// Since when runs and kills of workloads are counted: a restored engine goes on counting.
    pub(crate) counting_since: WallTime,
    /// The wall clock.
    pub(crate) anchor: Anchor,
}

impl Timeline {
    /// The agent begins.
    pub(crate) const fn begin(&mut self, at: BootTime, anchor: Anchor) {
        self.begun = at;
        self.anchor = anchor;
        self.counting_since = anchor.wall(at);
    }

    /// An Input of this time arrives: late ones do not turn the clock back.
    pub(crate) fn advance(&mut self, at: BootTime) {
        self.now = self.now.max(at);
    }

    /// The Input has been dealt with.
    pub(crate) const fn settle(&mut self) {
        self.last = self.now;
    }

    /// The wall clock's time of an instant.
    pub(crate) const fn wall(&self, at: BootTime) -> WallTime {
        self.anchor.wall(at)
    }

    /// Goes on from an earlier agent's timeline, with this agent's beginning and clock. Counting goes on.
    pub(crate) fn resume(&mut self, this: &Self) {
        self.now = self.now.max(this.now);
        self.begun = this.begun;
        self.anchor = this.anchor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const fn at(second: u64) -> BootTime {
        BootTime(second * SECOND)
    }

    fn begun(second: u64, wall: u64) -> Timeline {
        let mut time = Timeline::default();
        let anchor = Anchor {
            boot: at(second),
            wall: WallTime(wall * SECOND),
        };
        time.begin(at(second), anchor);
        time
    }

    #[test]
    fn a_late_input_does_not_turn_the_clock_back() {
        let mut time = begun(10, 1_000);
        time.advance(at(20));
        time.settle();
        time.advance(at(15));
        assert_eq!((time.now, time.last), (at(20), at(20)));
        assert_eq!(time.wall(at(15)), WallTime(1_005 * SECOND));
    }

    #[test]
    fn an_agent_that_goes_on_counts_since_the_first_ones_beginning() {
        let mut first = begun(10, 1_000);
        first.advance(at(50));
        let mut second = begun(40, 1_031);
        second.advance(at(41));
        first.resume(&second);
        assert_eq!((first.now, first.begun), (at(50), at(40)));
        assert_eq!(first.counting_since, WallTime(1_000 * SECOND));
        assert_eq!(first.wall(at(40)), WallTime(1_031 * SECOND));
    }
}
