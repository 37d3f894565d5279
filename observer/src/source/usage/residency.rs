//! Reads which pages of a process's anonymous mappings are present, produces how many bytes of a range of addresses the
//! process is charged for.
//!
//! `pagemap` tells the zero page and pages shared with a forked process like any other. So the present pages of a mapping
//! are weighed such that together they are what the kernel says of it (`Pss`): parts of a mapping add up to it.

use observer_heap::{Memory, MemoryError};

use super::mappings::Mapping;

const PAGE: u64 = 4096;
/// Pages of one mapping that are told apart (64 GiB); of a larger one every page counts alike.
const MOST_PAGES: u64 = 1 << 24;
const BATCH: usize = 1 << 14;

#[derive(Debug)]
struct Piece {
    start: u64,
    end: u64,
    /// Present pages before each page and before the end; empty where they are not told apart.
    before: Vec<u32>,
    /// Bytes charged for each present page.
    weight: f64,
}

/// The present pages of the anonymous mappings.
#[derive(Debug, Default)]
pub(super) struct Residency {
    pieces: Vec<Piece>,
}

impl Residency {
    /// Asks for all of them; they must be ascending.
    pub(super) fn read<'m>(
        memory: &dyn Memory,
        mappings: impl Iterator<Item = &'m Mapping>,
    ) -> Result<Self, MemoryError> {
        let mut pieces = Vec::new();
        for mapping in mappings {
            let pages = (mapping.end - mapping.start) / PAGE;
            let mut piece = Piece {
                start: mapping.start,
                end: mapping.end,
                before: Vec::new(),
                weight: mapping.pss as f64 / pages.max(1) as f64,
            };
            if pages <= MOST_PAGES {
                let mut present = 0;
                piece.before.reserve_exact(pages as usize + 1);
                let mut batch = [false; BATCH];
                let mut at = 0;
                while at < pages {
                    let batch = &mut batch[..(pages - at).min(BATCH as u64) as usize];
                    memory.resident(mapping.start + at * PAGE, batch)?;
                    for &resident in &*batch {
                        piece.before.push(present);
                        present += u32::from(resident);
                    }
                    at += batch.len() as u64;
                }
                piece.before.push(present);
                piece.weight = mapping.pss as f64 / f64::from(present.max(1));
            }
            pieces.push(piece);
        }
        Ok(Self { pieces })
    }

    /// Bytes charged for a range.
    pub(super) fn bytes(&self, start: u64, end: u64) -> f64 {
        let first = self.pieces.partition_point(|piece| piece.end <= start);
        let pieces = self.pieces.get(first..).unwrap_or_default();
        pieces
            .iter()
            .take_while(|piece| piece.start < end)
            .map(|piece| {
                let (from, to) = (start.max(piece.start), end.min(piece.end));
                (piece.pages(to) - piece.pages(from)) * piece.weight
            })
            .sum()
    }
}

impl Piece {
    /// Present pages below an address; of a page that it divides, a part.
    fn pages(&self, address: u64) -> f64 {
        let offset = address - self.start;
        let (page, rest) = ((offset / PAGE) as usize, (offset % PAGE) as f64 / PAGE as f64);
        match (self.before.get(page), self.before.get(page + 1)) {
            (Some(&before), Some(&after)) => f64::from(before) + f64::from(after - before) * rest,
            (Some(&before), None) => f64::from(before),
            (None, _) => offset as f64 / PAGE as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::usage::mappings;

    struct EverySecond;

    impl Memory for EverySecond {
        fn regions(&self) -> Result<Vec<observer_heap::Region>, MemoryError> {
            Ok(Vec::new())
        }
        fn read(&self, _: u64, _: &mut [u8]) -> Result<usize, MemoryError> {
            Ok(0)
        }
        fn resident(&self, start: u64, pages: &mut [bool]) -> Result<(), MemoryError> {
            for (index, resident) in pages.iter_mut().enumerate() {
                *resident = (start / PAGE + index as u64).is_multiple_of(2);
            }
            Ok(())
        }
    }

    #[test]
    fn present_pages_share_what_the_mapping_is_charged_for() {
        // Five of ten pages are present, of which the kernel charges for four.
        let smaps = "10000-1a000 rw-p 00000000 00:00 0\nPss: 16 kB\n20000-22000 rw-p 00000000 00:00 0\nPss: 4 kB\n";
        let mappings = mappings::parse(smaps);
        let residency = Residency::read(&EverySecond, mappings.iter()).unwrap();
        let weight = 16.0 * 1024.0 / 5.0;
        assert_eq!(residency.bytes(0x10000, 0x11000), weight);
        assert_eq!(residency.bytes(0x10800, 0x12000), weight / 2.0);
        assert_eq!(residency.bytes(0x11000, 0x12000), 0.0);
        assert_eq!(residency.bytes(0, 0x30000).round(), 20.0 * 1024.0);
    }
}
