//! Findings on standard output: a thread that prints, so that a slow reader of the pipe holds nobody up.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::terminal::{Printed, say};

/// Lines waiting for the reader at most.
const WAITING: usize = 4_096;

/// Prints lines.
#[derive(Debug)]
pub(super) struct Stdout {
    lines: SyncSender<Printed>,
    printer: JoinHandle<()>,
    lost: Arc<AtomicU64>,
}

impl Stdout {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (lines, receiver) = sync_channel::<Printed>(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let printer = thread::Builder::new().name("stdout".into()).spawn(move || {
            let mut closed = false;
            for line in receiver {
                if let Err(error) = line.print() {
                    counter.fetch_add(1, Relaxed);
                    if !std::mem::replace(&mut closed, true) {
                        say(format_args!(
                            "findings cannot be printed ({error}); observation goes on"
                        ));
                    }
                }
            }
        })?;
        Ok(Self { lines, printer, lost })
    }

    /// Prints a line, or counts it where the reader is too far behind.
    pub(super) fn print(&self, line: Printed) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Findings that were not printed so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Prints what waits, for at most `patience`.
    pub(super) fn finish(self, patience: Duration) {
        let Self { lines, printer, lost } = self;
        drop(lines);
        let deadline = Instant::now() + patience;
        while !printer.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let lost = lost.load(Relaxed);
        if lost > 0 {
            say(format_args!(
                "{lost} findings were not printed: standard output was closed or too slow"
            ));
        }
    }
}
