//! Reads where the threads of a process sleep, produces the parts of their stacks that are out of use: what stands below
//! a stack pointer is history.
//!
//! `/proc/PID/task/TID/syscall` gives the stack pointer of a thread that waits in a system call and `running` of one
//! that does not (fs/proc/base.c, lib/syscall.c): it is read, never stopped. An event loop sleeps between its turns, so
//! a thread found running is asked again a few times.

use std::{fs, io, thread, time::Duration};

use observer_heap::Region;

/// Bytes below the stack pointer that a function may use without moving it (System V ABI for x86-64, 3.2.2).
const RED_ZONE: u64 = 128;
/// Times a running thread is asked, and how long apart: together no longer than a turn of an event loop takes.
const ATTEMPTS: u32 = 10;
const APART: Duration = Duration::from_millis(1);
/// Threads asked; what further ones left on their stacks counts as a root.
const MOST_THREADS: usize = 256;

/// Parts of stacks below the stack pointers of the threads that sleep, in ascending order.
pub(super) fn unused(pid: u32) -> io::Result<Vec<Region>> {
    let pointers = pointers(pid)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    Ok(below(&maps, &pointers))
}

/// The stack pointers of the threads that sleep.
pub(super) fn pointers(pid: u32) -> io::Result<Vec<u64>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?.filter_map(Result::ok);
    Ok(tasks
        .take(MOST_THREADS)
        .filter_map(|task| sleeping(&task.path().join("syscall")))
        .collect())
}

fn sleeping(path: &std::path::Path) -> Option<u64> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            thread::sleep(APART);
        }
        // A thread that ended has no stack.
        let text = fs::read_to_string(path).ok()?;
        if text.trim() != "running" {
            return stack_pointer(&text);
        }
    }
    None
}

/// The last but one of the numbers, whether or not it waits in a system call.
fn stack_pointer(text: &str) -> Option<u64> {
    let number = text.split_ascii_whitespace().rev().nth(1)?;
    u64::from_str_radix(number.strip_prefix("0x")?, 16).ok()
}

/// From the beginning of each stack to its pointer. A stack is the kernel's own, or stands on a guard page: other memory
/// that a stack pointer lies in may be shared with something else.
fn below(maps: &str, pointers: &[u64]) -> Vec<Region> {
    let mut unused = Vec::new();
    let mut guard_ends = None;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some((start, end)) = fields.next().and_then(|range| {
            let (start, end) = range.split_once('-')?;
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        }) else {
            continue;
        };
        let permissions = fields.next().unwrap_or_default();
        let guarded = guard_ends == Some(start) || line.ends_with("[stack]");
        guard_ends = permissions.starts_with("---").then_some(end);
        if !guarded || !permissions.starts_with("rw") {
            continue;
        }
        // Of several in one mapping the lowest decides.
        let lowest = pointers.iter().filter(|at| (start..end).contains(at)).min();
        if let Some(upto) = lowest.map(|at| (at - RED_ZONE.min(at - start)) & !7)
            && upto > start
        {
            unused.push(Region {
                start,
                end: upto,
                executable: false,
            });
        }
    }
    unused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_a_pointer_on_a_guarded_stack_is_unused() {
        let maps = "\
1000-2000 rw-p 00000000 00:00 0
2000-3000 ---p 00000000 00:00 0
3000-8000 rw-p 00000000 00:00 0
9000-a000 rw-p 00000000 00:00 0
7ffd0000-7ffe0000 rw-p 00000000 00:00 0                                  [stack]
";
        let parts = |pointers: &[u64]| -> Vec<(u64, u64)> {
            below(maps, pointers)
                .iter()
                .map(|part| (part.start, part.end))
                .collect()
        };
        assert_eq!(
            parts(&[0x7000, 0x7ffd_8000]),
            [(0x3000, 0x6f80), (0x7ffd_0000, 0x7ffd_7f80)]
        );
        assert_eq!(parts(&[0x7000, 0x5000]), [(0x3000, 0x4f80)], "two in one mapping");
        assert_eq!(parts(&[0x1800, 0x9800]), [], "no guard below");
        assert_eq!(parts(&[0x3040]), [], "all of it in use");
    }

    #[test]
    fn the_stack_pointer_is_the_last_but_one_number() {
        assert_eq!(
            stack_pointer("281 0xe 0x7ffd 0x400 0x3e7 0x0 0x8 0x7ffdd4351000 0x7f2365846cae\n"),
            Some(0x7ffd_d435_1000)
        );
        assert_eq!(
            stack_pointer("-1 0x7ffdd4351000 0x7f2365846cae"),
            Some(0x7ffd_d435_1000)
        );
        assert_eq!(stack_pointer("running"), None);
    }

    #[test]
    fn a_thread_that_sleeps_has_an_unused_part_that_ends_below_its_frames() {
        let (address, receiver) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let local = 0_u64;
            address.send(std::ptr::addr_of!(local) as u64).unwrap();
            let _ = stopped.recv();
        });
        let local = receiver.recv().unwrap();
        let covered = |part: &Region| part.end <= local && local - part.end < 1 << 20;
        let found = (0..100).any(|_| {
            thread::sleep(APART);
            unused(std::process::id()).unwrap().iter().any(covered)
        });
        assert!(found);
        drop(stop);
        thread.join().unwrap();
    }
}
