//! Names of maps and globals, spelled once.

/// Ring buffer of exec, fork, signal and cgroup records.
pub const EVENTS: &str = "EVENTS";
/// Ring buffer of exit and OOM-victim records: nothing else can evict them.
pub const DEATHS: &str = "DEATHS";
/// Per-CPU array of lost records, indexed by [`crate::record::Kind`].
pub const DROPS: &str = "DROPS";
/// Hash set of watched thread-group ids (`u32`; the value says nothing).
pub const WATCHED: &str = "WATCHED";
/// Hash of traced thread-group ids (`u32`) to [`crate::growth::Growth`].
pub const GROWTH: &str = "GROWTH";

/// `u32`, not overridden: the object's [`crate::ABI_VERSION`], read from it before it is loaded.
pub const ABI: &str = "OBSERVER_ABI";
/// `[u32; FIELDS]`: offset of each [`crate::layout::Field`].
pub const OFFSETS: &str = "OBSERVER_OFFSETS";
/// `[u32; FORMATS]`: offset of each [`crate::layout::Format`].
pub const FORMATS: &str = "OBSERVER_FORMATS";
/// `[u32; SYSCALLS]`: number of each [`crate::growth::Syscall`] on this architecture.
pub const SYSCALLS: &str = "OBSERVER_SYSCALLS";
/// `[u32; SETTINGS]`: each [`crate::layout::Setting`].
pub const SETTINGS: &str = "OBSERVER_SETTINGS";
