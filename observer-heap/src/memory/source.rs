//! Reads nothing itself; says what a source of another process's memory must offer, and keeps recorded images of it.
//!
//! A live process and a recorded image are read through the same trait, so that tests and fuzzers run the code that
//! production runs.

use thiserror::Error;

/// A range of addresses of the observed process that may hold V8 pages: readable, private and anonymous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Mapped executable: machine code, counted by bytes only.
    pub executable: bool,
}

/// Why memory could not be read at all. A page that is absent is not an error.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// The process exited or replaced its address space.
    #[error("process {0} has gone: its memory can no longer be read")]
    Gone(u32),
    /// It runs no program.
    #[error("process {0} runs no program: it is a kernel thread, or has just ended")]
    NoProgram(u32),
    /// The kernel refused; usually a missing CAP_SYS_PTRACE, or Yama.
    #[error(
        "reading process {pid} was refused ({}: {error}); that needs root, or CAP_SYS_PTRACE over it",
        what.replace("PID", &pid.to_string())
    )]
    Refused {
        /// The file or call that was refused.
        what: &'static str,
        /// The observed process.
        pid: u32,
        /// What the kernel said.
        error: std::io::Error,
    },
}

/// A place in a script as V8 runs it.
#[derive(Debug, Clone, Copy)]
pub struct Generated<'g> {
    /// The script, as Node names it.
    pub file: &'g str,
    /// How long the script is, in UTF-16 units.
    pub length: u64,
    /// Line and column, in UTF-16 units, counted from 1.
    pub line: u32,
    /// See `line`.
    pub column: u32,
    /// What the function or class that begins there is called.
    pub name: &'g str,
}

/// The place it was generated from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What the function or class was called, where that is known.
    pub name: Option<String>,
}

/// The memory of one process.
pub trait Memory {
    /// Regions that may hold V8 pages, in ascending order and without overlaps.
    fn regions(&self) -> Result<Vec<Region>, MemoryError>;

    /// Regions that may hold pointers into V8 pages, those pages included: everything private and writable, the C heap,
    /// stacks and the programs' data among it.
    fn writable(&self) -> Result<Vec<Region>, MemoryError> {
        self.regions()
    }

    /// Parts of those regions that are known to be out of use: stacks below the stack pointer of a thread that sleeps. What
    /// stands there is history, and no root.
    fn unused(&self) -> Result<Vec<Region>, MemoryError> {
        Ok(Vec::new())
    }

    /// Says for each page from `start` on whether it is present, 4 KiB each; `start` must be a page's address.
    fn resident(&self, start: u64, pages: &mut [bool]) -> Result<(), MemoryError> {
        let mut page = [0; 4096];
        for (index, resident) in pages.iter_mut().enumerate() {
            *resident = self.read(start + 4096 * index as u64, &mut page)? > 0;
        }
        Ok(())
    }

    /// Whether any page that was asked for until now is swapped out.
    fn is_swapped(&self) -> bool {
        false
    }

    /// Where a place in a script was generated from, when the process's files tell it: a source map.
    fn original(&self, generated: &Generated<'_>) -> Option<Original> {
        let _ = generated;
        None
    }

    /// Fills `buffer` with the memory at `address` and returns how many bytes of it were present.
    ///
    /// What is absent (never touched, swapped out, unmapped) reads as zero and is neither brought in nor waited for.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, MemoryError>;
}

/// A recorded piece of memory.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pieces: Vec<(Region, Vec<u8>)>,
}

impl Image {
    /// Adds a region and its bytes; a region longer than its bytes is absent behind them.
    pub fn insert(&mut self, region: Region, bytes: Vec<u8>) {
        let at = self.pieces.partition_point(|(r, _)| r.start < region.start);
        self.pieces.insert(at, (region, bytes));
    }
}

impl Memory for Image {
    fn regions(&self) -> Result<Vec<Region>, MemoryError> {
        Ok(self.pieces.iter().map(|(region, _)| *region).collect())
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        buffer.fill(0);
        let end = address.saturating_add(buffer.len() as u64);
        let mut present = 0;
        for (region, bytes) in &self.pieces {
            let from = address.max(region.start);
            let to = end.min(region.start.saturating_add(bytes.len() as u64)).min(region.end);
            if from < to {
                let source = (from - region.start) as usize..(to - region.start) as usize;
                let target = (from - address) as usize..(to - address) as usize;
                buffer[target].copy_from_slice(&bytes[source]);
                present += (to - from) as usize;
            }
        }
        Ok(present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reads_across_pieces_and_leaves_holes_zero() {
        let mut image = Image::default();
        image.insert(
            Region {
                start: 8,
                end: 16,
                executable: false,
            },
            vec![2; 4],
        );
        image.insert(
            Region {
                start: 0,
                end: 4,
                executable: false,
            },
            vec![1; 4],
        );
        let mut buffer = [9; 16];
        assert_eq!(image.read(0, &mut buffer).unwrap(), 8);
        assert_eq!(buffer, [1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0]);
        assert_eq!(image.read(u64::MAX - 3, &mut buffer).unwrap(), 0);
    }
}
