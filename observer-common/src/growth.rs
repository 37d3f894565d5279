//! Per-process growth counters, kept in the kernel and read by the agent at every sample.

/// Flag in the `WATCHED` map: signals to this process are recorded.
pub const WATCH_SIGNALS: u32 = 1;
/// Flag in the `WATCHED` map: growth of this process is counted.
pub const WATCH_GROWTH: u32 = 2;

/// Where memory was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Place {
    /// Anonymous mappings in V8's chunk pattern: multiples of 256 KiB, aligned to 256 KiB.
    V8Heap = 0,
    /// `brk` and the allocator's small arenas.
    Malloc = 1,
    /// Other anonymous mappings of at least 128 KiB (the allocator's `mmap` threshold).
    LargeBuffer = 2,
    /// File-backed mappings.
    File = 3,
    /// Anything else.
    Other = 4,
}

/// Number of [`Place`]s.
pub const PLACES: u32 = 5;

impl Place {
    /// All places, in the order of their numbers.
    pub const ALL: [Self; PLACES as usize] = [Self::V8Heap, Self::Malloc, Self::LargeBuffer, Self::File, Self::Other];
}

/// Key of the `GROWTH` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct GrowthKey {
    /// Thread-group id.
    pub pid: u32,
    /// A [`Place`], as a number.
    pub place: u32,
}

/// Value of the `GROWTH` map: totals since the process has been watched for growth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GrowthCount {
    /// Bytes mapped, made writable, or added by `brk`.
    pub grown: u64,
    /// Bytes unmapped or given back by `brk`.
    pub shrunk: u64,
    /// System calls counted in `grown`.
    pub calls: u64,
}

const _: () = {
    assert!(size_of::<GrowthKey>() == 8);
    assert!(size_of::<GrowthCount>() == 24);
};
