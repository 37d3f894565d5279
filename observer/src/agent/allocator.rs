//! The C library's allocator: reads nothing, produces an agent that holds what it uses and little more.
//!
//! glibc keeps an arena for each thread and what was freed in each, and raises its threshold for blocks of their own as
//! large ones are freed. Reading the kernel's types and the symbols of executables would leave some 20 MB held for good.
//! Other C libraries give large blocks back by themselves.

/// Blocks of this size and more are mapped by themselves, and given back when they are freed.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;
/// Free bytes at the heap's end from which on they are given back.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 1 << 20;

/// Sets it up. Call it before there are threads.
pub(super) fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` has no preconditions; what it refuses stays as it was.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

/// Gives free pages back to the kernel: after work that is done once, or once an hour.
pub(super) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions and touches free blocks only.
    unsafe {
        libc::malloc_trim(0);
    }
}
