//! `cargo xtask`: set-up, tests, demo, CI, benchmarks.
fn main() {}
