//! A live Node.js process whose heap is read: opened again for each reading, waited for in between.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use observer_heap::{Learned, Metadata, Reader};

use crate::source::memory::{self, LiveMemory};

/// Bytes of a source map that is read.
const SOURCE_MAPS: u64 = 64 << 20;

/// A process whose heap is read.
pub(super) struct Process {
    pub(super) pid: u32,
    metadata: Metadata,
    pub(super) live: LiveMemory,
}

impl Process {
    /// Finds what V8 publishes of itself in it.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            pid,
            metadata: memory::metadata(pid).with_context(|| format!("process {pid} is not read"))?,
            live: LiveMemory::open(pid)?.with_source_maps(SOURCE_MAPS),
        })
    }

    /// Pages come and go: each reading finds them anew.
    pub(super) fn open(&self, known: Option<&Learned>) -> anyhow::Result<Reader<'_>> {
        memory::open(&self.live, &self.metadata, known)
            .with_context(|| format!("the heap of process {} is not read", self.pid))
    }

    /// Waits for the next reading; ends early, with an error, when the process does.
    pub(super) fn wait(&self, until: Instant) -> anyhow::Result<()> {
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            thread::sleep(left.min(Duration::from_millis(250)));
            if !std::path::Path::new(&format!("/proc/{}", self.pid)).exists() {
                bail!("process {} ended between the readings", self.pid);
            }
        }
        Ok(())
    }
}
