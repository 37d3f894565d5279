//! The ABI between the kernel programs and the agent: record layouts, map names, global names.
//!
//! `no_std`, integers only, explicit padding, sizes asserted at compile time. Both halves of the agent are
//! built from one tree, and [`ABI_VERSION`], which the object carries as a symbol, refuses a stale one.
#![no_std]

pub mod growth;
pub mod layout;
pub mod name;
pub mod record;

/// Changes with every change of a layout or of a meaning in this crate.
pub const ABI_VERSION: u32 = 2;

/// Length of `task_struct.comm`, the terminating NUL included (`TASK_COMM_LEN`, include/linux/sched.h).
pub const COMM_LEN: usize = 16;
