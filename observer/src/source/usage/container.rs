//! Reads a cgroup's memory and all of its processes, produces one account: parts that add up to what it is charged for, and
//! what is left unexplained.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use observer_core::memory_use::{KindBytes, MemoryKind, MemoryUse};
use observer_heap::Memory;

use super::{
    mappings::kilobytes,
    part::{Part, Parts},
    process::{Process, WholeProcess},
    tmpfs::{Tmpfs, tmpfs},
    v8::V8,
};
use crate::source::cgroup::{self, Account, Hierarchy};

/// Processes of one container that are read.
const MOST_PROCESSES: usize = 4096;
/// Of these, the largest are looked into.
const MOST_LOOKED_INTO: usize = 8;
/// A process with less anonymous memory is not looked into unless it was named, bytes.
const WORTH_A_LOOK: u64 = 4 << 20;
/// Bytes of the kernel's stack of a thread (`THREAD_SIZE` of x86-64 and arm64).
const KERNEL_STACK: u64 = 16 << 10;
/// Times a container is read before one is taken that changed meanwhile: by more than one byte in so many, and than the kernel's
/// counters are behind.
const ATTEMPTS: usize = 4;
const CHANGED: u64 = 100;
const BEHIND: u64 = 1 << 20;

/// Why a container's memory could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its cgroup's files could not be read.
    #[error("cannot read the memory of cgroup {path}: {source}; run as root, with the host's /sys/fs/cgroup")]
    Cgroup {
        /// The cgroup.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The named process could not be read.
    #[error(transparent)]
    Process(#[from] observer_heap::MemoryError),
}

/// Whose number the kernel's memory by kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// The cgroup's own.
    Counted,
    /// Put together from the processes: page tables as each says, stacks by the number of threads.
    Derived,
}

/// The memory of a container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its cgroup; none for a process in the root cgroup, of which only the process is told.
    pub cgroup: Option<String>,
    /// What it is charged for, bytes; of a process without a cgroup, its anonymous memory.
    pub usage: u64,
    /// Its own limit.
    pub limit: Option<u64>,
    /// Processes that were looked into, the largest first.
    pub processes: Vec<Process>,
    /// How many were not.
    pub others: usize,
    /// Everything outside the processes' anonymous memory, and that of the others.
    pub rest: Parts,
    /// Of the page cache, what some process maps.
    pub cache_mapped: u64,
    /// Its tmpfs mounts with files in them.
    pub tmpfs: Vec<Tmpfs>,
    /// How the kernel's memory is told.
    pub kernel: Kernel,
}

impl Container {
    /// Reads the container of a process; without a cgroup of its own, the process alone.
    pub fn read(hierarchy: Option<&Hierarchy>, pid: u32) -> Result<Self, ContainerError> {
        Self::of(pid, Moment::read(hierarchy, pid, MOST_LOOKED_INTO)?)
    }

    /// Reads it once more, to be compared: of the processes only those are looked into that were the first time. What another one
    /// has would seem to be new.
    pub fn read_again(&self, hierarchy: Option<&Hierarchy>, pid: u32) -> Result<Self, ContainerError> {
        let known: BTreeSet<u32> = self.processes.iter().map(|process| process.pid).collect();
        Self::of(pid, Moment::of(hierarchy, pid, &|other, _| known.contains(&other))?)
    }

    fn of(pid: u32, moment: Moment) -> Result<Self, ContainerError> {
        let mut container = moment.look_into(None)?;
        if container.cgroup.is_some() {
            container.tmpfs = tmpfs(pid);
        }
        Ok(container)
    }

    /// All of it, by part.
    pub fn parts(&self) -> Parts {
        let mut parts = self.rest.clone();
        for (&part, bytes) in self.processes.iter().flat_map(|process| &process.parts) {
            *parts.entry(part).or_default() += bytes;
        }
        parts
    }

    /// The same by kind, without what the process has that reads it: that is none of the container's own.
    pub fn by_kind(&self) -> MemoryUse {
        let mut parts = self.parts();
        parts.remove(&Part::Observer);
        let mut kinds = BTreeMap::<MemoryKind, u64>::new();
        for (part, bytes) in &parts {
            *kinds.entry(part.kind()).or_default() += bytes;
        }
        let arenas = self.processes.iter().map(|process| process.arenas.len()).max();
        MemoryUse {
            usage: self.usage,
            kinds: kinds
                .into_iter()
                .filter(|kind| kind.1 > 0)
                .map(|(kind, bytes)| KindBytes { kind, bytes })
                .collect(),
            trimmable: parts.get(&Part::AllocatorFreePages).copied().unwrap_or(0),
            arenas: arenas.unwrap_or(0) as u32,
        }
    }

    /// What it is charged for beyond all parts; negative where they are more.
    pub fn unexplained(&self) -> i64 {
        self.usage.cast_signed() - self.parts().values().sum::<u64>().cast_signed()
    }
}

/// What is read of a container at one moment, close together: what is looked into afterwards takes its time, and is weighed by what was
/// there at that moment.
pub struct Moment {
    place: Option<(String, Account)>,
    /// The process that was named, and others that are worth a look.
    whole: Vec<WholeProcess>,
    /// Anonymous memory of those that are not, and how many they are.
    others: (u64, usize),
    /// Anonymous memory of this process, where it is one of them.
    own: u64,
    totals: Totals,
}

impl Moment {
    /// Reads the cgroup of a process, and of up to `most` processes in it what is to be looked into.
    pub fn read(hierarchy: Option<&Hierarchy>, pid: u32, most: usize) -> Result<Self, ContainerError> {
        Self::of(hierarchy, pid, &|_, already| already < most)
    }

    /// The same of the processes that are chosen, by their PID and how many there are before them. What a container is charged for
    /// and what its processes have are read one after the other: while it grows fast, or the processor is somebody else's, one would
    /// be from another moment.
    fn of(
        hierarchy: Option<&Hierarchy>,
        pid: u32,
        choose: &dyn Fn(u32, usize) -> bool,
    ) -> Result<Self, ContainerError> {
        let Some(place) = hierarchy.and_then(|hierarchy| Place::of(hierarchy, pid)) else {
            return Self::alone(pid);
        };
        let mut before = place.account()?;
        for _ in 1..ATTEMPTS {
            let moment = Self::with(&place, before, pid, choose)?;
            let after = place.account()?;
            if after.usage.abs_diff(before.usage) <= (before.usage / CHANGED).max(BEHIND) {
                return Ok(moment);
            }
            before = after;
        }
        Self::with(&place, before, pid, choose)
    }

    fn alone(pid: u32) -> Result<Self, ContainerError> {
        Ok(Self {
            place: None,
            whole: vec![WholeProcess::read(pid)?],
            others: (0, 0),
            own: 0,
            totals: Totals::default(),
        })
    }

    fn with(
        place: &Place,
        account: Account,
        pid: u32,
        choose: &dyn Fn(u32, usize) -> bool,
    ) -> Result<Self, ContainerError> {
        let mut moment = Self::alone(pid)?;
        let mut small = Vec::new();
        for other in place.processes() {
            let Some(brief) = Brief::of(other) else { continue };
            moment.totals.page_tables += brief.page_tables;
            moment.totals.threads += brief.threads;
            if other == pid {
                continue;
            }
            if other == std::process::id() {
                moment.own = brief.anonymous;
            } else {
                small.push((brief.anonymous, other));
            }
        }
        small.sort_unstable_by_key(|(anonymous, _)| std::cmp::Reverse(*anonymous));
        for (anonymous, other) in small {
            // One that ended meanwhile has given its memory back.
            if anonymous >= WORTH_A_LOOK
                && choose(other, moment.whole.len())
                && let Ok(process) = WholeProcess::read(other)
            {
                moment.whole.push(process);
            } else {
                moment.leave_out(anonymous);
            }
        }
        moment.place = Some((place.path.clone(), account));
        Ok(moment)
    }

    fn leave_out(&mut self, anonymous: u64) {
        self.others.0 += anonymous;
        self.others.1 += 1;
    }

    /// Looks into the processes; tmpfs mounts are left out. `named` is what was read meanwhile of the heap of the one that was named, and through what its memory is
    /// read; otherwise it is read like the others'.
    pub fn look_into(mut self, mut named: Option<(V8, &dyn Memory)>) -> Result<Container, ContainerError> {
        let mut processes = Vec::new();
        for (index, process) in std::mem::take(&mut self.whole).into_iter().enumerate() {
            let anonymous = process.anonymous();
            let looked = match named.take().filter(|_| index == 0) {
                Some((v8, memory)) => process.look_into_with(Ok(v8), Some(memory)),
                None => process.look_into(),
            };
            match looked {
                Ok(process) => processes.push(process),
                Err(error) if index == 0 => return Err(error.into()),
                Err(_) => self.leave_out(anonymous),
            }
        }
        processes.sort_by_key(|process| std::cmp::Reverse(process.anonymous()));
        let Some((path, account)) = self.place else {
            let usage = processes.iter().map(Process::anonymous).sum();
            return Ok(Container {
                cgroup: None,
                usage,
                limit: None,
                processes,
                others: 0,
                rest: Parts::new(),
                cache_mapped: 0,
                tmpfs: Vec::new(),
                kernel: Kernel::Derived,
            });
        };
        let mut rest = outside(&account, self.totals);
        rest.insert(Part::OtherProcesses, self.others.0);
        rest.insert(Part::Observer, self.own);
        rest.retain(|_, bytes| *bytes > 0);
        Ok(Container {
            cgroup: Some(path),
            usage: account.usage,
            limit: account.limit,
            processes,
            others: self.others.1,
            rest,
            cache_mapped: account.cache_mapped,
            tmpfs: Vec::new(),
            kernel: match account.kernel.page_tables {
                Some(_) => Kernel::Counted,
                None => Kernel::Derived,
            },
        })
    }
}

/// Page cache, shared memory and the kernel's own.
fn outside(account: &Account, totals: Totals) -> Parts {
    let kernel = account.kernel;
    let page_tables = kernel.page_tables.unwrap_or(totals.page_tables).min(kernel.all);
    let stacks = kernel
        .stacks
        .unwrap_or(totals.threads * KERNEL_STACK)
        .min(kernel.all - page_tables);
    let left = kernel.all - page_tables - stacks;
    let slab = kernel.slab.unwrap_or(0).min(left);
    Parts::from([
        (Part::PageCacheActive, account.cache_active),
        (Part::PageCacheInactive, account.cache - account.cache_active),
        (Part::Shmem, account.shmem),
        (Part::HugePageRests, account.huge_page_rests),
        (Part::PageTables, page_tables),
        (Part::KernelStacks, stacks),
        (Part::Slab, slab),
        (Part::Sockets, kernel.sockets),
        (Part::OtherKernel, left - slab),
    ])
}

#[derive(Clone, Copy, Default)]
struct Totals {
    page_tables: u64,
    threads: u64,
}

/// What is read of every process.
struct Brief {
    anonymous: u64,
    page_tables: u64,
    threads: u64,
}

impl Brief {
    fn of(pid: u32) -> Option<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        Some(Self {
            anonymous: kilobytes(&rollup, "Pss_Anon")?,
            page_tables: kilobytes(&status, "VmPTE").unwrap_or(0),
            threads: threads.and_then(|n| n.trim().parse().ok()).unwrap_or(1),
        })
    }
}

/// A container's cgroup.
struct Place {
    path: String,
    directory: PathBuf,
    version: u8,
}

impl Place {
    /// The memory cgroup of a process, unless that is the root.
    fn of(hierarchy: &Hierarchy, pid: u32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
        let path = hierarchy.canonical(&cgroup::memory_cgroup(&text)?);
        (path != "/").then_some(())?;
        Some(Self {
            directory: hierarchy.directory(&path)?,
            version: hierarchy.version(),
            path,
        })
    }

    fn account(&self) -> Result<Account, ContainerError> {
        cgroup::account(&self.directory, self.version).map_err(|source| ContainerError::Cgroup {
            path: self.path.clone(),
            source,
        })
    }

    /// Its processes, and those of the cgroups below it.
    fn processes(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.directory.clone()];
        while let Some(directory) = open.pop() {
            let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            found.extend(procs.lines().filter_map(|line| line.parse::<u32>().ok()));
            if found.len() >= MOST_PROCESSES {
                break;
            }
            open.extend(directories(&directory));
        }
        found
    }
}

fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
