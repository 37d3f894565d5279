//! The program's own pages: reads where it is mapped, produces an agent that has those in memory that it works with.
//!
//! The kernel maps 16 pages for each that is touched. Half of what is resident after the start (command line, kernel programs and
//! types, TLS) is not needed again, and as long as it is mapped it is the last that the kernel takes back.

use std::{ffi::c_void, fs};

use rustix::mm::{Advice, madvise};

use crate::source::usage::mappings;

/// Unmaps what can be read again from the program's file: what is needed is mapped again when it is touched.
pub(super) fn let_go() {
    let (Ok(smaps), Ok(program)) = (fs::read_to_string("/proc/self/smaps"), fs::read_link("/proc/self/exe")) else {
        return;
    };
    for (start, length) in clean(&smaps, &program.to_string_lossy()) {
        // SAFETY: none of these pages is writable or was ever written, as the kernel counts them: each is the file's, and is read
        // from it again.
        let _ = unsafe { madvise(start as *mut c_void, length, Advice::LinuxDontNeed) };
    }
}

/// First address and length of the mappings of a program that are not writable and have no page of their own: relocated constants
/// have.
fn clean(smaps: &str, program: &str) -> Vec<(usize, usize)> {
    mappings::parse(smaps)
        .into_iter()
        .filter(|mapping| mapping.path == program && !mapping.writable && mapping.anonymous == 0)
        .map(|mapping| {
            (
                mapping.start as usize,
                mapping.end.saturating_sub(mapping.start) as usize,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_writable_or_was_written_is_left_out() {
        let mapping = |range: &str, flags: &str, path: &str, anonymous: u64| {
            format!(
                "{range} {flags} 00000000 fe:00 42   {path}\nPss:   64 kB\nAnonymous:   {anonymous} kB\nVmFlags: rd mr\n"
            )
        };
        let smaps = [
            mapping("1000-3000", "r--p", "/observer", 0),
            mapping("3000-9000", "r-xp", "/observer", 0),
            mapping("9000-a000", "r--p", "/observer", 4),
            mapping("a000-b000", "rw-p", "/observer", 0),
            mapping("b000-c000", "r-xp", "/lib/libc.so.6", 0),
            mapping("c000-d000", "rw-p", "", 4),
        ];
        assert_eq!(
            clean(&smaps.concat(), "/observer"),
            [(0x1000, 0x2000), (0x3000, 0x6000)]
        );
    }

    #[test]
    fn the_program_goes_on() {
        let resident = || {
            let statm = fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
        };
        let before = resident();
        let_go();
        assert!(resident() < before);
    }
}
