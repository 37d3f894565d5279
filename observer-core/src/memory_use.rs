//! Where a container's memory is, by kind: reads two accounts of it, produces what grew and what that means. Plain data; the accounts are
//! taken outside the core and arrive with readings of heaps, so that a replay needs no process.

use serde::{Deserialize, Serialize};

/// Growth below this is none, bytes, and below this part of what is charged.
const LEAST_GROWTH: u64 = 1 << 20;
const LEAST_PART: u64 = 100;

/// What memory is used for, as people think of it. Each byte of a container is of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
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

impl MemoryKind {
    /// Whether it is memory of V8's that waits for a collection or is kept free; of the young generation, but for what is held of it.
    pub const fn is_unheld(self) -> bool {
        matches!(self, Self::Garbage | Self::HeapFree | Self::Young)
    }

    /// All of them, in the order in which they are declared.
    pub const ALL: [Self; 13] = [
        Self::Heap,
        Self::Garbage,
        Self::HeapFree,
        Self::Young,
        Self::Buffers,
        Self::Native,
        Self::Fragmentation,
        Self::Allocator,
        Self::Program,
        Self::OtherProcesses,
        Self::PageCache,
        Self::Tmpfs,
        Self::Kernel,
    ];

    /// Its name, as it leaves the agent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Garbage => "garbage",
            Self::HeapFree => "heap_free",
            Self::Young => "young",
            Self::Buffers => "buffers",
            Self::Native => "native",
            Self::Fragmentation => "fragmentation",
            Self::Allocator => "allocator",
            Self::Program => "program",
            Self::OtherProcesses => "other_processes",
            Self::PageCache => "page_cache",
            Self::Tmpfs => "tmpfs",
            Self::Kernel => "kernel",
        }
    }

    /// Its name inside a sentence.
    pub const fn noun(self) -> &'static str {
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

    /// What it means that this grew.
    pub const fn means(self) -> &'static str {
        match self {
            Self::Heap | Self::Buffers => "a leak in the heap, or a cache that fills",
            Self::Garbage => {
                "no leak: nothing holds it, and V8 frees it by a major collection, at the latest near its heap limit"
            }
            Self::HeapFree => "no leak: nothing stands there; V8 fills it before it asks for more",
            Self::Young => {
                "what survives a minor collection or two counts as held or dead afterwards; another reading tells"
            }
            Self::Native => "a leak in native memory, or a cache of native code that fills",
            Self::Fragmentation => "no leak: it was given back by the program, not by the allocator",
            Self::Allocator => {
                "a leak in native memory, or fragmentation: which of the two is not told of this allocator"
            }
            Self::Program => "threads, code, libraries, or memory that native code maps for itself",
            Self::OtherProcesses => "they were not looked into",
            Self::PageCache => {
                "no leak: the kernel takes it back before it kills for memory, except what is being written or locked"
            }
            Self::Tmpfs => "the kernel cannot take it back, only removing the files or their last mapping does",
            Self::Kernel => {
                "page tables, open files and sockets: it follows the number of mappings, files and connections"
            }
        }
    }
}

/// Bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindBytes {
    /// Which.
    pub kind: MemoryKind,
    /// How much.
    pub bytes: u64,
}

/// A container's memory at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// What the container is charged for, bytes.
    pub usage: u64,
    /// Of what kind that is, in the order of [`MemoryKind::ALL`]; kinds of which there is nothing are left out.
    pub kinds: Vec<KindBytes>,
    /// Whole pages inside free blocks of the allocator, bytes: what `malloc_trim` gives back.
    pub trimmable: u64,
    /// Arenas of the allocator of the process with most of them.
    pub arenas: u32,
}

impl MemoryUse {
    /// Bytes of a kind.
    pub fn of(&self, kind: MemoryKind) -> u64 {
        let found = self.kinds.iter().find(|found| found.kind == kind);
        found.map_or(0, |found| found.bytes)
    }

    /// The kinds that grew since, most first, with the bytes they grew by.
    pub fn grown_since(&self, before: &Self) -> Vec<KindBytes> {
        let mut grown: Vec<KindBytes> = MemoryKind::ALL
            .into_iter()
            .map(|kind| KindBytes {
                kind,
                bytes: self.of(kind).saturating_sub(before.of(kind)),
            })
            .filter(|grown| grown.bytes > 0)
            .collect();
        grown.sort_by_key(|grown| std::cmp::Reverse(grown.bytes));
        grown
    }

    /// The least growth of a kind after this that is worth a word, bytes.
    pub fn least_growth(&self) -> u64 {
        LEAST_GROWTH.max(self.usage / LEAST_PART)
    }
}

/// A container's memory at two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryGrowth {
    /// Seconds between them.
    pub apart_s: f64,
    /// At the first.
    pub before: MemoryUse,
    /// At the last.
    pub after: MemoryUse,
}

impl MemoryGrowth {
    /// The kind that grew most, by how much, and its share of all that grew, 0 to 1; none where nothing grew by enough.
    pub fn most(&self) -> Option<(MemoryKind, u64, f64)> {
        let grown = self.after.grown_since(&self.before);
        let all: u64 = grown.iter().map(|grown| grown.bytes).sum();
        let most = grown.first().filter(|most| most.bytes >= self.before.least_growth())?;
        Some((most.kind, most.bytes, most.bytes as f64 / all as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(kinds: &[(MemoryKind, u64)]) -> MemoryUse {
        MemoryUse {
            usage: kinds.iter().map(|kind| kind.1).sum(),
            kinds: kinds.iter().map(|&(kind, bytes)| KindBytes { kind, bytes }).collect(),
            ..MemoryUse::default()
        }
    }

    #[test]
    fn what_grew_most_is_told_with_its_share_and_what_shrank_is_left_out() {
        let growth = MemoryGrowth {
            apart_s: 60.0,
            before: memory(&[(MemoryKind::Heap, 90 << 20), (MemoryKind::PageCache, 10 << 20)]),
            after: memory(&[(MemoryKind::Heap, 120 << 20), (MemoryKind::Native, 10 << 20)]),
        };
        let (kind, bytes, share) = growth.most().unwrap();
        assert_eq!((kind, bytes), (MemoryKind::Heap, 30 << 20));
        assert!((share - 0.75).abs() < 1e-9);
    }

    #[test]
    fn growth_by_less_than_a_hundredth_is_none() {
        let growth = MemoryGrowth {
            apart_s: 60.0,
            before: memory(&[(MemoryKind::Heap, 900 << 20)]),
            after: memory(&[(MemoryKind::Heap, 905 << 20)]),
        };
        assert_eq!(growth.most(), None);
    }

    #[test]
    fn every_kind_stands_in_the_list_once_under_the_name_it_is_recorded_by() {
        for (index, kind) in MemoryKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
        }
    }
}
