//! Reads one process: its mappings, V8's heaps, the allocator's blocks; produces what its memory is used for.

use std::fs;

use observer_heap::{
    Extent, Memory, MemoryError, Region,
    native::{Areas, Malloc},
};

use super::{
    blocks::{self, ArenaUsage, Used},
    mappings::{self, Kind, Mapping, kilobytes},
    part::{Part, Parts},
    regions,
    residency::Residency,
    thread_stacks,
    v8::{Heap, V8},
};
use crate::source::{copied::refused, memory::LiveMemory};

/// Which allocator a process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Allocator {
    /// The GNU C library's: its blocks are told apart.
    Glibc,
    /// musl's.
    Musl,
    /// jemalloc.
    Jemalloc,
    /// mimalloc.
    Mimalloc,
    /// tcmalloc.
    Tcmalloc,
    /// Not recognised by a mapped library.
    #[default]
    Unknown,
}

impl Allocator {
    fn of(mappings: &[Mapping]) -> Self {
        let has = |begins: &[&str]| {
            mappings.iter().any(|mapping| {
                let name = mapping.path.rsplit('/').next().unwrap_or("");
                mapping.kind == Kind::File
                    && (begins.iter().any(|begin| name.starts_with(begin))
                        || begins.contains(&MUSL) && is_debians_musl(mapping))
            })
        };
        // One that is preloaded takes the C library's place.
        let known: [(Self, &[&str]); 5] = [
            (Self::Jemalloc, &["libjemalloc"]),
            (Self::Mimalloc, &["libmimalloc"]),
            (Self::Tcmalloc, &["libtcmalloc"]),
            (Self::Musl, &[MUSL, "libc.musl-"]),
            (Self::Glibc, GLIBC),
        ];
        known
            .into_iter()
            .find_map(|(allocator, begins)| has(begins).then_some(allocator))
            .unwrap_or_default()
    }

    /// How people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
            Self::Jemalloc => "jemalloc",
            Self::Mimalloc => "mimalloc",
            Self::Tcmalloc => "tcmalloc",
            Self::Unknown => "an unknown allocator",
        }
    }
}

/// How musl's file is called; Debian's is a link to a `libc.so` in a directory of musl's own.
const MUSL: &str = "ld-musl-";

fn is_debians_musl(mapping: &Mapping) -> bool {
    mapping.path.ends_with("-linux-musl/libc.so")
}

/// How the file of glibc is called; before 2.34 it is a link to one with the version in its name.
const GLIBC: &[&str] = &["libc.so.6", "libc-2."];

/// First and one past the last address of each range.
type Ranges = Vec<(u64, u64)>;

/// What one process uses.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its anonymous memory, by what it is used for.
    pub parts: Parts,
    /// Which allocator it has.
    pub allocator: Allocator,
    /// The arenas, where the allocator is glibc's.
    pub arenas: Vec<ArenaUsage>,
    /// Memory in blocks with a mapping of their own.
    pub mapped_blocks: u64,
    /// Whether the heap was read.
    pub heap: Heap,
    /// Its share of mapped files' pages, which are page cache.
    pub mapped_files: u64,
    /// Its share of mapped shared memory.
    pub mapped_shared: u64,
    /// Page tables that the kernel keeps for it.
    pub page_tables: u64,
    /// Its threads.
    pub threads: u64,
    /// Swapped out.
    pub swapped: u64,
}

impl Process {
    /// Its anonymous memory.
    pub fn anonymous(&self) -> u64 {
        self.parts.values().sum()
    }

    /// Garbage and free memory in V8's pages, present in memory, and dead ArrayBuffers.
    pub fn unheld(&self) -> u64 {
        let parts = self.parts.iter().filter(|(part, _)| part.kind().is_unheld());
        let young_held = match self.heap {
            Heap::Read { young_held, .. } => young_held,
            Heap::None | Heap::Refused(_) => 0,
        };
        parts.map(|(_, bytes)| bytes).sum::<u64>().saturating_sub(young_held)
    }
}

/// What is read of a process at one moment, to be looked into afterwards.
pub struct WholeProcess {
    process: Process,
    mappings: Vec<Mapping>,
    live: LiveMemory,
    residency: Residency,
}

impl WholeProcess {
    /// Reads its mappings and which pages are present.
    pub fn read(pid: u32) -> Result<Self, MemoryError> {
        let file = |path: &'static str| {
            fs::read_to_string(path.replace("PID", &pid.to_string())).map_err(|error| refused(pid, path, error))
        };
        let mappings = mappings::parse(&file("/proc/PID/smaps")?);
        let status = file("/proc/PID/status")?;
        if mappings.is_empty() {
            return Err(MemoryError::Gone(pid));
        }
        let live = LiveMemory::open(pid)?;
        let residency = Residency::read(&live, mappings.iter().filter(|mapping| is_anonymous(mapping)))?;
        let sum = |of: &dyn Fn(&Mapping) -> u64| mappings.iter().map(of).sum::<u64>();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let process = Process {
            pid,
            name: field("Name:").unwrap_or_default().trim().to_owned(),
            allocator: Allocator::of(&mappings),
            mapped_files: sum(&|mapping| match mapping.kind {
                Kind::File => mapping.pss.saturating_sub(mapping.anonymous),
                _ => 0,
            }),
            mapped_shared: sum(&|mapping| if mapping.kind == Kind::Shared { mapping.pss } else { 0 }),
            page_tables: kilobytes(&status, "VmPTE").unwrap_or(0),
            threads: field("Threads:").and_then(|n| n.trim().parse().ok()).unwrap_or(1),
            swapped: sum(&|mapping| mapping.swap),
            ..Process::default()
        };
        Ok(Self {
            process,
            mappings,
            live,
            residency,
        })
    }

    /// Bytes of its anonymous memory when it was read.
    pub fn anonymous(&self) -> u64 {
        self.mappings.iter().map(anonymous_bytes).sum()
    }

    /// Looks into its heap and its allocator.
    pub fn look_into(self) -> Result<Process, MemoryError> {
        let v8 = V8::read(&self.live, self.process.pid);
        self.look_into_with(v8, None)
    }

    /// Looks into its allocator, through `memory` where that is given, beside a heap that was read.
    pub fn look_into_with(self, v8: Result<V8, Heap>, memory: Option<&dyn Memory>) -> Result<Process, MemoryError> {
        self.with_blocks(v8, memory).map(|looked_into| looked_into.0)
    }

    /// The same, with the allocator's blocks.
    pub(super) fn with_blocks(
        mut self,
        v8: Result<V8, Heap>,
        memory: Option<&dyn Memory>,
    ) -> Result<(Process, Malloc), MemoryError> {
        let (extents, buffers) = v8.as_ref().map_or((&[][..], &[][..]), |v8| (&v8.extents, &v8.buffers));
        let (stacks, gaps) = self.stacks_and_gaps(extents);
        let malloc = self.malloc(memory.unwrap_or(&self.live), &gaps)?;
        let mut used = blocks::used(&malloc, buffers, &self.residency);
        let left = regions::without(&gaps, &blocks::ranges(&malloc));

        let parts = self.parts(&stacks, &left, &mut used, v8.as_ref());
        let process = &mut self.process;
        process.parts = parts;
        process.arenas = used.arenas;
        process.mapped_blocks = used.mapped.round() as u64;
        process.heap = v8.map_or_else(|state| state, |v8| v8.state(&self.residency));
        Ok((self.process, malloc))
    }

    /// Stacks, and what else can be written and is not V8's.
    pub(super) fn stacks_and_gaps(&self, extents: &[Extent]) -> (Ranges, Ranges) {
        let touches = |mapping: &Mapping| {
            let at = extents.partition_point(|extent| extent.end <= mapping.start);
            extents.get(at).is_some_and(|extent| extent.start < mapping.end)
        };
        let stacks = thread_stacks::ranges(&self.mappings, self.process.pid, touches);
        let writable = self
            .mappings
            .iter()
            .filter(|m| m.kind == Kind::Anonymous && m.writable && !m.executable)
            .map(|m| (m.start, m.end));
        let taken: Vec<(u64, u64)> = extents.iter().map(|extent| (extent.start, extent.end)).collect();
        let gaps = regions::without(&regions::joined(writable), &taken);
        let gaps = regions::without(&gaps, &stacks);
        (stacks, gaps)
    }

    /// The process's id, its memory, and its mappings.
    pub(super) const fn source(&self) -> (u32, &LiveMemory, &Vec<Mapping>) {
        (self.process.pid, &self.live, &self.mappings)
    }

    pub(super) fn malloc(&self, memory: &dyn Memory, gaps: &[(u64, u64)]) -> Result<Malloc, MemoryError> {
        let region = |&(start, end): &(u64, u64)| Region {
            start,
            end,
            executable: false,
        };
        let of_kind = |wanted: Kind| self.mappings.iter().filter(move |m| m.kind == wanted && m.writable);
        let brk = regions::joined(of_kind(Kind::Brk).map(|m| (m.start, m.end)));
        let library: Vec<Region> = of_kind(Kind::File)
            .filter(|m| {
                let name = m.path.rsplit('/').next().unwrap_or("");
                GLIBC.iter().any(|begin| name.starts_with(begin))
            })
            .map(|m| region(&(m.start, m.end)))
            .collect();
        let anonymous: Vec<Region> = gaps.iter().map(region).collect();
        if library.is_empty() {
            return Ok(Malloc::default());
        }
        Malloc::read(
            memory,
            Areas {
                brk: brk.first().map(region),
                anonymous: &anonymous,
                library: &library,
            },
        )
    }

    /// The parts; what is left of its anonymous memory is other memory, or an allocator's that is not read.
    fn parts(&self, stacks: &[(u64, u64)], left: &[(u64, u64)], used: &mut Used, v8: Result<&V8, &Heap>) -> Parts {
        let bytes = |ranges: &[(u64, u64)]| ranges.iter().map(|range| self.residency.bytes(range.0, range.1)).sum();
        let mut parts: Vec<(Part, f64)> = vec![(Part::Stacks, bytes(stacks))];
        let changed = self.mappings.iter().filter(|m| m.kind == Kind::File);
        parts.push((
            Part::ChangedFilePages,
            changed.map(|m| m.anonymous.min(m.pss) as f64).sum(),
        ));
        if let Ok(v8) = v8 {
            blocks::elsewhere(used, left, &v8.buffers, &self.residency);
            let memory: Vec<(u64, u64)> = v8.buffers.iter().map(|b| (b.address, b.address + b.bytes)).collect();
            // Other allocators than glibc's map memory in the pieces in which V8 maps pages: what V8 keeps for later is then
            // not told from it.
            let left = match self.process.allocator {
                Allocator::Glibc => regions::without(left, &memory),
                _ => Vec::new(),
            };
            parts.extend(v8.parts(&self.residency, &self.mappings, &left));
        }
        parts.extend([
            (Part::Native, used.native),
            (Part::Buffers, used.buffers),
            (Part::BuffersDead, used.dead_buffers),
            (Part::BuffersYoung, used.young_buffers),
            (Part::AllocatorFreePages, used.free_pages),
            (Part::AllocatorFreePieces, used.free_pieces),
        ]);
        let told: f64 = parts.iter().map(|part| part.1).sum();
        let rest = match self.process.allocator {
            Allocator::Glibc | Allocator::Unknown => Part::OtherAnonymous,
            _ => Part::OtherAllocator,
        };
        parts.push((rest, (self.anonymous() as f64 - told).max(0.0)));
        let mut whole = Parts::new();
        for (part, bytes) in parts {
            *whole.entry(part).or_default() += bytes.round() as u64;
        }
        whole.retain(|_, bytes| *bytes > 0);
        whole
    }
}

fn is_anonymous(mapping: &Mapping) -> bool {
    matches!(mapping.kind, Kind::Brk | Kind::MainStack | Kind::Anonymous)
}

fn anonymous_bytes(mapping: &Mapping) -> u64 {
    match mapping.kind {
        Kind::Brk | Kind::MainStack | Kind::Anonymous => mapping.pss,
        Kind::File => mapping.anonymous.min(mapping.pss),
        Kind::Shared => 0,
    }
}
