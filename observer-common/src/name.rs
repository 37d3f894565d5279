//! Names of maps and globals, spelled once.

/// Ring buffer of exec, fork, signal and cgroup records.
pub const EVENTS: &str = "EVENTS";
/// Ring buffer of exit and OOM-victim records: nothing else can evict them.
pub const DEATHS: &str = "DEATHS";
/// Per-CPU array of lost records, indexed by [`crate::record::Kind`].
pub const DROPS: &str = "DROPS";
/// Hash of watched thread-group ids (`u32`) to [`crate::growth::WATCH_SIGNALS`] and other flags (`u32`).
pub const WATCHED: &str = "WATCHED";
/// Per-CPU hash of [`crate::growth::GrowthKey`] to [`crate::growth::GrowthCount`].
pub const GROWTH: &str = "GROWTH";
