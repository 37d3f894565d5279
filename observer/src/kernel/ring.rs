//! Reads the two ring buffers, produces Inputs in the order of their times.

use std::{io, os::fd::AsFd as _, time::Duration};

use aya::maps::{MapData, RingBuf};
use observer_core::{
    Input, What,
    decode::{DecodeError, decode},
    input::Lost,
    time::BootTime,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Records taken from one ring at a time: a flood of events delays a death by one such batch at most.
const BATCH: usize = 4096;

/// The reading end of both rings. Belongs on a thread of its own: it blocks.
pub struct Rings {
    /// Deaths, events; none without kernel programs.
    rings: Option<[RingBuf<MapData>; 2]>,
    /// Time of the latest record, for losses that carry none of their own.
    latest: BootTime,
}

impl Rings {
    pub(super) const fn nothing() -> Self {
        Self {
            rings: None,
            latest: BootTime(0),
        }
    }

    pub(super) const fn new(deaths: RingBuf<MapData>, events: RingBuf<MapData>) -> Self {
        Self {
            rings: Some([deaths, events]),
            latest: BootTime(0),
        }
    }

    /// Waits for records, for `timeout` at most, and returns those there are, both rings merged in the order of their
    /// times. Records that could not be decoded are [`What::Lost`]. Without kernel programs it only waits.
    ///
    /// An exit may be returned before the exec it ends where events are backlogged by more than one batch: order by
    /// time holds within a batch, and deaths never wait for events.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Input>> {
        let inputs = self.drain();
        if !inputs.is_empty() {
            return Ok(inputs);
        }
        let Some([deaths, events]) = &self.rings else {
            std::thread::sleep(timeout);
            return Ok(inputs);
        };
        let mut ready = [deaths.as_fd(), events.as_fd()].map(|ring| PollFd::from_borrowed_fd(ring, PollFlags::IN));
        let timeout = Timespec::try_from(timeout).ok();
        match poll(&mut ready, timeout.as_ref()) {
            // A signal to the agent: the caller looks whether it was asked to stop.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(self.drain()),
            Err(error) => Err(error.into()),
        }
    }

    fn drain(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for ring in self.rings.iter_mut().flatten() {
            take(ring, &mut inputs, &mut self.latest);
        }
        inputs.sort_by_key(|input| input.at);
        inputs
    }
}

fn take(ring: &mut RingBuf<MapData>, inputs: &mut Vec<Input>, latest: &mut BootTime) {
    for _ in 0..BATCH {
        let Some(record) = ring.next() else { return };
        match decode(&record) {
            Ok((at, event)) => {
                *latest = at.max(*latest);
                inputs.push(Input {
                    at,
                    what: What::Kernel(event),
                });
            }
            Err(error) => inputs.push(Input {
                at: *latest,
                what: What::Lost(undecoded(error)),
            }),
        }
    }
}

fn undecoded(error: DecodeError) -> Lost {
    Lost {
        stage: "decode".into(),
        kind: error.kind().into(),
        count: 1,
    }
}
