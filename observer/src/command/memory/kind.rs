//! Parts of memory as people think of them: reads a [`Part`], produces its name and the kind it is of.

use serde::Serialize;

use crate::source::usage::{Container, Part};

/// What a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Objects that the JavaScript heap holds.
    Heap,
    /// What waits for a collection.
    Garbage,
    /// Free memory that V8 keeps.
    HeapFree,
    /// The young generation.
    Young,
    /// ArrayBuffers' memory.
    Buffers,
    /// Native code's.
    Native,
    /// Free memory that the allocator keeps.
    Fragmentation,
    /// An allocator's, in use and free.
    Allocator,
    /// Code, stacks, libraries and the like.
    Program,
    /// Processes that were not looked into.
    OtherProcesses,
    /// Page cache.
    PageCache,
    /// Files in memory.
    Tmpfs,
    /// The kernel's.
    Kernel,
}

impl Kind {
    pub(super) const fn of(part: Part) -> Self {
        match part {
            Part::V8Live => Self::Heap,
            Part::V8Dead | Part::BuffersDead => Self::Garbage,
            Part::V8Free => Self::HeapFree,
            Part::V8Young | Part::BuffersYoung => Self::Young,
            Part::Buffers => Self::Buffers,
            Part::Native => Self::Native,
            Part::AllocatorFreePages | Part::AllocatorFreePieces => Self::Fragmentation,
            Part::OtherAllocator => Self::Allocator,
            Part::V8Code | Part::Stacks | Part::ChangedFilePages | Part::OtherAnonymous => Self::Program,
            Part::OtherProcesses => Self::OtherProcesses,
            Part::PageCacheActive | Part::PageCacheInactive => Self::PageCache,
            Part::Shmem => Self::Tmpfs,
            Part::PageTables | Part::KernelStacks | Part::Slab | Part::Sockets | Part::OtherKernel => Self::Kernel,
        }
    }

    /// Its name inside a sentence.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Heap => "objects that the JavaScript heap holds",
            Self::Garbage => "garbage that V8 has not collected yet",
            Self::HeapFree => "free memory in V8's pages",
            Self::Young => "V8's young generation, with the ArrayBuffers (Buffers) in it",
            Self::Buffers => "memory of ArrayBuffers (Buffers) that something holds",
            Self::Native => "memory that native code has in use",
            Self::Fragmentation => "free memory inside the C library's allocator (fragmentation)",
            Self::Allocator => "memory of an allocator whose structures are not read, in use and free",
            Self::Program => "code, stacks, libraries and other anonymous memory",
            Self::OtherProcesses => "memory of other processes of the container",
            Self::PageCache => "page cache",
            Self::Tmpfs => "files in a tmpfs, or shared memory",
            Self::Kernel => "memory of the kernel's own",
        }
    }
}

/// A part's line in a table.
pub(super) fn line(part: Part, container: &Container) -> String {
    match part {
        Part::V8Live => "V8: old objects that are held".to_owned(),
        Part::V8Dead => "V8: dead objects, not collected yet".to_owned(),
        Part::V8Free => "V8: free memory in its pages".to_owned(),
        Part::V8Young => "V8: young generation".to_owned(),
        Part::V8Code => "V8: code and constants".to_owned(),
        Part::Buffers => "ArrayBuffers (Buffers) that are held".to_owned(),
        Part::BuffersDead => "ArrayBuffers that are dead, not collected yet".to_owned(),
        Part::BuffersYoung => "ArrayBuffers of the young generation, held or not".to_owned(),
        Part::Native => "native code: blocks in use".to_owned(),
        Part::AllocatorFreePages => "allocator: free, whole pages".to_owned(),
        Part::AllocatorFreePieces => "allocator: free, in pieces below page size".to_owned(),
        Part::OtherAllocator => "allocator: in use and free, not told apart".to_owned(),
        Part::Stacks => "stacks of threads".to_owned(),
        Part::ChangedFilePages => "changed pages of mapped files".to_owned(),
        Part::OtherAnonymous => "other anonymous memory".to_owned(),
        Part::OtherProcesses => format!("{} further processes, anonymous memory", container.others),
        Part::PageCacheActive => "page cache, active".to_owned(),
        Part::PageCacheInactive => "page cache, inactive".to_owned(),
        Part::Shmem => "tmpfs and shared memory".to_owned(),
        Part::PageTables => "kernel: page tables".to_owned(),
        Part::KernelStacks => "kernel: stacks".to_owned(),
        Part::Slab => "kernel: slab".to_owned(),
        Part::Sockets => "kernel: sockets".to_owned(),
        Part::OtherKernel => match container.kernel {
            crate::source::usage::Kernel::Counted => "kernel: other".to_owned(),
            crate::source::usage::Kernel::Derived => "kernel: slab and other".to_owned(),
        },
    }
}
