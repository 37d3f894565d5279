//! The kernel programs: one file per hook family, each with one body shared by its rungs.
//!
//! Reads what the kernel passes to a tracepoint and the task structures behind it; produces records of
//! `observer-common` in two ring buffers, counters of growth, and counts of what was lost. Where the loader sets the level
//! of aya's log, they also say in a third ring what they do; else the verifier sees a constant and prunes all of that.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)] // one instruction of growth.rs; aya-ebpf needs the feature as well
#![allow(
    clippy::inline_always,
    reason = "the verifier follows one function more easily than calls between them"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the entry macros pass the context by value"
)]

mod cgroup;
mod emit;
mod exec;
mod exit;
mod fork;
mod growth;
mod memory;
mod oom;
mod settings;
mod signal;
mod task;
mod watched;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The helpers used here are open to GPL-compatible programs only. The source is Apache-2.0; the object is offered
/// under this licence as well. See docs/adr/0001.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
