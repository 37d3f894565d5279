//! Reads what the kernel programs say of themselves (aya's log ring), produces lines for whoever asked for them.
//!
//! For the development of hooks, and for kernels that behave unlike any known one. The ring is bounded, and what finds
//! no room in it is dropped by aya without a count: these lines are evidence of nothing, records are.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::KernelLog;

/// Map of the log ring, as aya names it.
pub(super) const RING: &str = "AYA_LOGS";
/// Bytes of the ring where something is to be said: some hundred lines.
const ROOM: u32 = 1 << 17;

/// The level that the programs are loaded with: they say what is as severe, or more so.
pub(super) const fn level(log: KernelLog) -> u8 {
    match log {
        KernelLog::Off => 0,
        KernelLog::Info => aya_log::Level::Info as u8,
        KernelLog::Debug => aya_log::Level::Debug as u8,
    }
}

/// Bytes of the ring: the least a ring can have where nothing will be written.
pub(super) fn room(log: KernelLog) -> u32 {
    match log {
        KernelLog::Off => rustix::param::page_size() as u32,
        KernelLog::Info | KernelLog::Debug => ROOM,
    }
}

/// The reading end. Belongs on a thread of its own: it blocks, and so may whatever takes its lines.
pub struct Log {
    ring: EbpfLogger<Lines>,
    lines: Lines,
}

impl Log {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, String> {
        let lines = Lines::default();
        let ring = EbpfLogger::init_with_logger(ebpf, lines.clone())
            .map_err(|error| format!("cannot map the ring {RING}: {error}"))?;
        Ok(Self { ring, lines })
    }

    /// Waits for lines, for `timeout` at most, and returns those there are.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Vec<String>> {
        let mut ready = [PollFd::from_borrowed_fd(self.ring.as_fd(), PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.ring.flush();
        Ok(std::mem::take(
            &mut *self.lines.0.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

/// Where aya's reader puts what it has formatted: it hands lines to a logger and to nobody else.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl log::Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn flush(&self) {}
}
