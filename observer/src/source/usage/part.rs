//! What memory is used for: the parts of which each byte of a container is one, and of which kind each is.

use std::collections::BTreeMap;

use observer_core::memory_use::MemoryKind;

/// What memory is used for. Each byte of a container belongs to one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Old objects of V8's heap that something holds.
    V8Live,
    /// Old objects that nothing holds and that no collection has found yet.
    V8Dead,
    /// Free memory in V8's pages, and pages that V8 keeps in reserve.
    V8Free,
    /// The young generation's pages, both halves.
    V8Young,
    /// Machine code that V8 made, and objects that never change.
    V8Code,
    /// Memory of ArrayBuffers (Buffers, typed arrays) that something holds.
    Buffers,
    /// Memory of old ArrayBuffers that nothing holds and that no collection has found yet.
    BuffersDead,
    /// Memory of young ArrayBuffers to which no old object leads: a function at work holds them, or nothing.
    BuffersYoung,
    /// Blocks that native code has in use.
    Native,
    /// Whole pages inside free blocks of the allocator's: what `malloc_trim` would give back.
    AllocatorFreePages,
    /// Free blocks, or rests of them, that share a page with others.
    AllocatorFreePieces,
    /// All memory of an allocator whose structures are not read.
    OtherAllocator,
    /// Stacks of threads.
    Stacks,
    /// Pages of mapped files that the process has changed, and so has for itself.
    ChangedFilePages,
    /// Anonymous memory that is none of these.
    OtherAnonymous,
    /// Rests of huge pages of which a part was given back: mapped no more, charged until the kernel splits them.
    HugePageRests,
    /// Anonymous memory of processes that were not looked into.
    OtherProcesses,
    /// Anonymous memory of the process that reads all this, where it runs in the container.
    Observer,
    /// Page cache used more than once, or lately.
    PageCacheActive,
    /// Page cache that the kernel takes back first.
    PageCacheInactive,
    /// Files of a tmpfs, and shared memory.
    Shmem,
    /// The kernel's page tables for the container's processes.
    PageTables,
    /// The kernel's stacks for their threads.
    KernelStacks,
    /// Kernel objects: inodes, dentries, sockets.
    Slab,
    /// Data in sockets' queues.
    Sockets,
    /// Other memory of the kernel.
    OtherKernel,
}

/// Bytes by part.
pub type Parts = BTreeMap<Part, u64>;

impl Part {
    /// Of which kind it is.
    pub const fn kind(self) -> MemoryKind {
        match self {
            Self::V8Live => MemoryKind::Heap,
            Self::V8Dead | Self::BuffersDead => MemoryKind::Garbage,
            Self::V8Free => MemoryKind::HeapFree,
            Self::V8Young | Self::BuffersYoung => MemoryKind::Young,
            Self::Buffers => MemoryKind::Buffers,
            Self::Native => MemoryKind::Native,
            Self::AllocatorFreePages | Self::AllocatorFreePieces => MemoryKind::Fragmentation,
            Self::OtherAllocator => MemoryKind::Allocator,
            Self::V8Code | Self::Stacks | Self::ChangedFilePages | Self::OtherAnonymous => MemoryKind::Program,
            Self::OtherProcesses | Self::Observer => MemoryKind::OtherProcesses,
            Self::PageCacheActive | Self::PageCacheInactive => MemoryKind::PageCache,
            Self::Shmem => MemoryKind::Tmpfs,
            Self::HugePageRests
            | Self::PageTables
            | Self::KernelStacks
            | Self::Slab
            | Self::Sockets
            | Self::OtherKernel => MemoryKind::Kernel,
        }
    }
}
