//! The reorder buffer: takes Inputs as threads deliver them, gives them back by the instant they carry.
//!
//! Two rings and several readers deliver side by side, so that an exit may overtake the exec before it. Everything
//! is held back for a short window; what is later than that is passed on with its true time and counted.

use std::{cmp::Reverse, collections::BinaryHeap};

use observer_core::{Input, time::BootTime};

/// Nanoseconds an Input is held back: longer than readers take to deliver, short enough that a process's facts can
/// still be read when its exec comes out.
pub(super) const WINDOW_NS: u64 = 10_000_000;

/// Holds Inputs back until they can be given in order.
#[derive(Debug, Default)]
pub(super) struct ReorderBuffer {
    pending: BinaryHeap<Reverse<Pending>>,
    arrived: u64,
    given: BootTime,
    late: u64,
}

#[derive(Debug)]
struct Pending {
    /// Inputs of one instant keep the order of their arrival.
    at: (BootTime, u64),
    input: Input,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl ReorderBuffer {
    /// Takes an Input.
    pub(super) fn push(&mut self, input: Input) {
        self.arrived += 1;
        self.pending.push(Reverse(Pending {
            at: (input.at, self.arrived),
            input,
        }));
    }

    /// The next Input that is no longer held back at `now`.
    pub(super) fn pop(&mut self, now: BootTime) -> Option<Input> {
        let next = self.pending.peek()?;
        if next.0.at.0.plus(WINDOW_NS) > now {
            return None;
        }
        self.take()
    }

    /// The next Input, however young: at the end nothing more will come.
    pub(super) fn take(&mut self) -> Option<Input> {
        let Reverse(Pending { input, .. }) = self.pending.pop()?;
        if input.at < self.given {
            self.late += 1;
        }
        self.given = self.given.max(input.at);
        Some(input)
    }

    /// The latest instant before which nothing is held back any more at `now`.
    pub(super) const fn settled(now: BootTime) -> BootTime {
        BootTime(now.0.saturating_sub(WINDOW_NS))
    }

    /// When the next Input will be due.
    pub(super) fn due(&self) -> Option<BootTime> {
        self.pending.peek().map(|next| next.0.at.0.plus(WINDOW_NS))
    }

    /// Inputs that came too late for their place.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use observer_core::What;

    use super::*;

    fn input(at: u64) -> Input {
        Input {
            at: BootTime(at),
            what: What::Tick,
        }
    }

    #[test]
    fn gives_in_order_and_holds_back_the_young() {
        let mut buffer = ReorderBuffer::default();
        [30, 10, 20].into_iter().for_each(|at| buffer.push(input(at)));
        let now = BootTime(20 + WINDOW_NS);
        let given: Vec<u64> = std::iter::from_fn(|| buffer.pop(now)).map(|input| input.at.0).collect();
        assert_eq!(given, [10, 20]);
        assert_eq!(buffer.due(), Some(BootTime(30 + WINDOW_NS)));
    }

    #[test]
    fn equals_keep_their_arrival_and_latecomers_are_counted() {
        let mut buffer = ReorderBuffer::default();
        buffer.push(Input {
            at: BootTime(5),
            what: What::End,
        });
        buffer.push(input(5));
        assert_eq!(buffer.take().unwrap().what, What::End);
        assert_eq!(buffer.take().unwrap().what, What::Tick);
        buffer.push(input(4));
        assert_eq!(buffer.take().unwrap().at, BootTime(4));
        assert_eq!(buffer.late(), 1);
    }
}
