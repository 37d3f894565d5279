//! Per-process growth counters, kept in the kernel and read by the agent at every sample.

/// Where memory was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Place {
    /// Memory in V8's pattern: in the region where V8 asks for its heap, or aligned to its pages of 256 KiB.
    V8Heap = 0,
    /// `brk` and the allocator's arenas, and what it maps, 1 MiB at a time, where `brk` finds no room.
    Malloc = 1,
    /// Other anonymous mappings of at least 128 KiB (the allocator's `mmap` threshold): buffers.
    LargeBuffer = 2,
    /// Private writable mappings of files.
    File = 3,
    /// Anything else.
    Other = 4,
}

/// Number of [`Place`]s.
pub const PLACES: usize = 5;

impl Place {
    /// All places, in the order of their numbers.
    pub const ALL: [Self; PLACES] = [Self::V8Heap, Self::Malloc, Self::LargeBuffer, Self::File, Self::Other];
}

/// Totals of one place since the process has been traced. Bytes are of private writable address space, by the
/// kernel's own account of it (`mm_struct.data_vm`): a reservation without access is no growth, making it writable is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GrowthCount {
    /// Bytes gained.
    pub grown: u64,
    /// Bytes given back.
    pub shrunk: u64,
    /// System calls counted in `grown`.
    pub calls: u64,
}

/// Value of the `GROWTH` map, keyed by thread-group id: its presence is what makes a process traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Growth {
    /// Totals, indexed by [`Place`].
    pub places: [GrowthCount; PLACES],
    /// `mm_struct.data_vm` after the last counted call, pages; 0 until the first, which therefore only sets it.
    pub data_vm: u64,
}

/// A system call by which a process asks for memory or gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Syscall {
    /// `mmap(2)`
    Mmap = 0,
    /// `munmap(2)`
    Munmap = 1,
    /// `mremap(2)`
    Mremap = 2,
    /// `brk(2)`
    Brk = 3,
    /// `mprotect(2)`
    Mprotect = 4,
}

/// Number of [`Syscall`]s.
pub const SYSCALLS: usize = 5;

const _: () = {
    assert!(size_of::<GrowthCount>() == 24);
    assert!(size_of::<Growth>() == 128);
};
