//! The kernel moves pages of a process to other places in memory while they are read.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use observer_heap::Memory as _;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::*;

const PAGE: usize = 4096;
const PAGES: usize = 1 << 17;
/// Pages that the kernel shall have moved.
const MOVES: u64 = 50_000;
const LOOKS: u32 = 300;

/// Memory of which every second page, from the second on, is present: compaction has something to do.
struct Scattered(*mut std::ffi::c_void);

impl Scattered {
    fn new() -> Self {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let length = PAGES * PAGE;
        // SAFETY: a mapping of its own, wherever the kernel has room; its pages are touched and given back within its bounds.
        unsafe {
            let start = mmap_anonymous(std::ptr::null_mut(), length, access, MapFlags::PRIVATE).unwrap();
            madvise(start, length, Advice::LinuxNoHugepage).unwrap();
            // All are touched, since pages that come one after another stand beside each other.
            for page in 0..PAGES {
                start.cast::<u8>().add(page * PAGE).write_volatile(0x5a);
            }
            for page in (0..PAGES).step_by(2) {
                madvise(start.add(page * PAGE), PAGE, Advice::LinuxDontNeed).unwrap();
            }
            Self(start)
        }
    }
}

impl Drop for Scattered {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped; nobody else knows of it.
        let _ = unsafe { munmap(self.0, PAGES * PAGE) };
    }
}

/// Pages that the kernel has moved since it runs.
fn moved() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap();
    let line = counters.lines().find(|line| line.starts_with("pgmigrate_success "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// One that is under way looks as if it were swapped out.
#[test]
fn pages_that_the_kernel_moves_are_read() {
    need!(Root);
    let scattered = Scattered::new();
    let live = LiveMemory::open(std::process::id()).unwrap();
    let (before, ended) = (moved(), AtomicBool::new(false));
    let mut lost = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                fs::write("/proc/sys/vm/compact_memory", "1").unwrap();
            }
        });
        for _ in 0..LOOKS {
            let mut present = vec![false; PAGES];
            live.resident(scattered.0 as u64, &mut present).unwrap();
            lost.extend((1..PAGES).step_by(2).filter(|page| !present[*page]));
            if moved() - before > MOVES {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(moved() > before, "the kernel has moved no page");
    assert_eq!(lost, [0; 0], "pages lost, of {} moved", moved() - before);
}
