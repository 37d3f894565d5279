//! Parts of memory as people think of them: reads a [`Part`], produces its line in a table.

use crate::source::usage::{Container, Part};

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
        Part::HugePageRests => "kernel: rests of huge pages, given back in part".to_owned(),
        Part::OtherProcesses => format!("{} further processes, anonymous memory", container.others),
        Part::Observer => "observer itself, anonymous memory".to_owned(),
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
