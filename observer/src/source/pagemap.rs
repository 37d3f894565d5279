//! Reads `/proc/PID/pagemap`, produces which pages of a process are in memory.

use std::{cell::Cell, fs::File, io, ops::Range, os::unix::fs::FileExt, thread, time::Duration};

/// What presence is told in (`observer_heap::Memory::resident`): a part of a page where the kernel has larger ones.
pub(super) const PAGE: u64 = 4096;
/// The most pages asked for at once: the most pieces that one call of process_vm_readv may name (IOV_MAX).
pub(super) const MOST_PAGES: usize = 1024;
/// Bit 63 of an entry: the page is in memory (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
/// Bit 62: the page is swapped out; or the kernel is just moving it to another place in memory, for compaction or to another NUMA node
/// (a migration entry is one of swap: `pte_to_pagemap_entry` in fs/proc/task_mmu.c). Which of them is told to CAP_SYS_ADMIN only.
const SWAPPED: u64 = 1 << 62;
/// How long a page that is said to be swapped out is waited for at first, each time twice as long, and how often: 100 ms in all.
const MOVING: Duration = Duration::from_micros(100);
const MOVES: u32 = 10;
/// After so many waits in vain what is said to be swapped out is taken to be.
const IN_VAIN: u32 = 4;

/// Which pages of one process are in memory.
pub(super) struct Pagemap {
    file: File,
    /// Bytes of a page of the kernel's: 4, 16 or 64 KiB on aarch64.
    page_size: u64,
    /// Waits for pages that were swapped out indeed.
    in_vain: Cell<u32>,
    /// Whether any page that was asked for is swapped out.
    swapped: Cell<bool>,
}

impl Pagemap {
    /// Needs CAP_SYS_PTRACE for processes of others.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            file: File::open(format!("/proc/{pid}/pagemap"))?,
            page_size: rustix::param::page_size() as u64,
            in_vain: Cell::new(0),
            swapped: Cell::new(false),
        })
    }

    /// Which of the pages from `first` on are present, [`MOST_PAGES`] at most, and for how many of the kernel's pages that was told: none
    /// where the process has ended. A page that the kernel is moving is waited for: it is there in a moment.
    pub(super) fn present(&self, first: u64, flags: &mut [bool]) -> io::Result<usize> {
        flags.fill(false);
        let (mut told, mut swapped) = self.look(first, flags)?;
        let waits = if self.in_vain.get() < IN_VAIN { MOVES } else { 0 };
        for doubled in 0..waits {
            if !swapped {
                return Ok(told);
            }
            thread::sleep(MOVING * (1 << doubled));
            (told, swapped) = self.look(first, flags)?;
        }
        if swapped {
            self.in_vain.set(self.in_vain.get().saturating_add(1));
            self.swapped.set(true);
        }
        Ok(told)
    }

    /// Whether any page that was asked for is swapped out.
    pub(super) const fn is_swapped(&self) -> bool {
        self.swapped.get()
    }

    /// Looks for those that were not present yet: for how many pages it was told, and whether any of these is said to be swapped out.
    fn look(&self, first: u64, flags: &mut [bool]) -> io::Result<(usize, bool)> {
        let mut entries = [0; 8 * MOST_PAGES];
        let first = first - first % PAGE;
        let asked = pages_of(first, flags.len(), self.page_size);
        let entries = &mut entries[..8 * (asked.end - asked.start) as usize];
        let mut filled = 0;
        while filled < entries.len() {
            match self
                .file
                .read_at(&mut entries[filled..], asked.start * 8 + filled as u64)
            {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let entries = entries[..filled].as_chunks::<8>().0;
        let mut swapped = false;
        for (index, flag) in flags.iter_mut().enumerate().filter(|(_, flag)| !**flag) {
            let entry = (first + index as u64 * PAGE) / self.page_size - asked.start;
            if let Some(entry) = entries.get(entry as usize) {
                let entry = u64::from_le_bytes(*entry);
                *flag = entry & PRESENT != 0;
                swapped |= entry & (PRESENT | SWAPPED) == SWAPPED;
            }
        }
        Ok((entries.len(), swapped))
    }
}

/// Numbers of the kernel's pages in which so many [`PAGE`]s from `first` on lie: as many or fewer.
const fn pages_of(first: u64, pages: usize, page_size: u64) -> Range<u64> {
    first / page_size..(first + pages as u64 * PAGE).div_ceil(page_size)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn recorded(page_size: u64, entries: &[u64]) -> Pagemap {
        let mut file = tempfile::tempfile().unwrap();
        for entry in entries {
            file.write_all(&entry.to_le_bytes()).unwrap();
        }
        Pagemap {
            file,
            page_size,
            in_vain: Cell::new(0),
            swapped: Cell::new(false),
        }
    }

    /// A kernel of 16 or 64 KiB pages, whose pagemap has an entry for each of those; from 4 KiB pages in its middle on.
    #[test]
    fn presence_is_told_in_parts_of_larger_pages() {
        for page_size in [PAGE, 4 * PAGE, 16 * PAGE] {
            // The first and the third page are present.
            let pagemap = recorded(page_size, &[PRESENT, 0, PRESENT | 7, 0]);
            let parts = (page_size / PAGE) as usize;
            for first in 0..parts {
                let mut flags = vec![false; 4 * parts - first];
                pagemap.present(first as u64 * PAGE + 8, &mut flags).unwrap();
                let expected = (first..4 * parts).map(|part| (part / parts).is_multiple_of(2));
                assert_eq!(flags, expected.collect::<Vec<_>>(), "{first} of {page_size}");
            }
        }
    }

    #[test]
    fn a_page_that_comes_back_is_waited_for() {
        let pagemap = recorded(PAGE, &[PRESENT, SWAPPED]);
        let file = pagemap.file.try_clone().unwrap();
        let comes_back = thread::spawn(move || {
            thread::sleep(MOVING * 4);
            file.write_all_at(&PRESENT.to_le_bytes(), 8).unwrap();
        });
        let mut flags = [false; 2];
        pagemap.present(0, &mut flags).unwrap();
        comes_back.join().unwrap();
        assert_eq!((flags, pagemap.is_swapped()), ([true, true], false));
    }

    #[test]
    fn a_process_whose_pages_are_swapped_out_is_not_waited_for_at_each_of_them() {
        let pagemap = recorded(PAGE, &[PRESENT, SWAPPED]);
        for _ in 0..10_000 {
            let mut flags = [false; 2];
            assert_eq!(pagemap.present(0, &mut flags).unwrap(), 2);
            assert_eq!(flags, [true, false]);
        }
        assert!(pagemap.is_swapped());
    }
}
