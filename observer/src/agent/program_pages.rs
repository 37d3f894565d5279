//! The program's own pages: reads where it is mapped, produces an agent that has those in memory that it works with.
//!
//! The kernel maps 16 pages for each that is touched. Half of what is resident after the start (command line, kernel programs and
//! types, TLS) is not needed again, and as long as it is mapped it is the last that the kernel takes back.

use std::{ffi::c_void, fs};

use rustix::mm::{Advice, madvise};

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
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if first == "Anonymous:" {
            found.extend(mapping.take().filter(|_| words.next() == Some("0")));
        } else if !first.ends_with(':') {
            let flags = words.next().unwrap_or_default();
            let address = |hex| usize::from_str_radix(hex, 16).ok();
            mapping = first
                .split_once('-')
                .filter(|_| line.ends_with(program) && flags.starts_with("r-") && flags.ends_with('p'))
                .and_then(|(start, end)| Some((address(start)?, address(end)?)))
                .map(|(start, end)| (start, end.saturating_sub(start)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_writable_or_was_written_is_left_out() {
        let mapping = |range: &str, flags: &str, path: &str, anonymous: u64| {
            format!(
                "{range} {flags} 00000000 fe:00 42   {path}\nRss:   64 kB\nAnonymous:   {anonymous} kB\nVmFlags: rd mr\n"
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
