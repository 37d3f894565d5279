//! Reads where a process's threads have their stack pointers, produces the mappings that are stacks.

use std::fs;

use super::mappings::{Kind, Mapping};
use crate::source::stacks;

/// The size of a thread's stack where the limit says nothing (glibc, nptl: `ARCH_STACK_DEFAULT_SIZE` is smaller, and a
/// limit of none is rare), bytes.
const USUAL: u64 = 8 << 20;
/// Where heaps of glibc's allocator begin: the reserve of the one before may look like a guard.
const HEAP: u64 = 64 << 20;

/// The largest stack a thread of the process gets by itself (`RLIMIT_STACK`).
pub(super) fn largest(pid: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    limits
        .lines()
        .find_map(|line| {
            line.strip_prefix("Max stack size")?
                .split_ascii_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(USUAL)
}

/// First and one past the last address of each stack: what a stack pointer lies in, and what begins behind a guard. What the
/// kernel has joined to a stack from above is left out by its size.
pub(super) fn ranges(mappings: &[Mapping], pid: u32, is_v8s: impl Fn(&Mapping) -> bool) -> Vec<(u64, u64)> {
    // Without them guards still tell most stacks.
    let pointers = stacks::pointers(pid).unwrap_or_default();
    let largest = largest(pid);
    mappings
        .iter()
        .filter(|mapping| match mapping.kind {
            Kind::MainStack => true,
            Kind::Anonymous => {
                let used = pointers.iter().any(|at| (mapping.start..mapping.end).contains(at));
                let guarded = mapping.guarded && !mapping.start.is_multiple_of(HEAP);
                mapping.writable && !mapping.executable && (used || guarded) && !is_v8s(mapping)
            }
            _ => false,
        })
        .map(|mapping| match mapping.kind {
            Kind::MainStack => (mapping.start, mapping.end),
            _ => (mapping.start, mapping.end.min(mapping.start.saturating_add(largest))),
        })
        .collect()
}
