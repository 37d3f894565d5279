//! The kernel half on a real kernel: each test causes an edge and asserts what comes out of the rings, on each rung.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

mod cgroup;
mod growth;
mod log;
mod loss;
mod memory;
mod process;
mod signal;
mod tap;
