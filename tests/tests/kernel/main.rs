//! The kernel half on a real kernel: each test causes an edge and asserts what comes out of the rings, on each rung.

mod cgroup;
mod growth;
mod loss;
mod memory;
mod process;
mod signal;
mod tap;
