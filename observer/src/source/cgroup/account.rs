//! Reads a cgroup's memory files once, produces what it is charged for by kind, none of it counted twice.
//!
//! Documentation/admin-guide/cgroup-v2.rst ("memory.stat") and cgroup-v1/memory.rst. Of v1 the `total_*` values, which
//! include descendants.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::files::{limit, number, pairs};

/// What the kernel keeps for a cgroup. What the hierarchy's version does not tell apart is `None` and part of `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelMemory {
    pub(crate) all: u64,
    pub(crate) page_tables: Option<u64>,
    pub(crate) stacks: Option<u64>,
    pub(crate) slab: Option<u64>,
    /// Beside `all`.
    pub(crate) sockets: u64,
}

/// What a cgroup is charged for, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) usage: u64,
    /// The cgroup's own limit.
    pub(crate) limit: Option<u64>,
    pub(crate) anonymous: u64,
    /// Anonymous memory that no process maps: rests of huge pages of which a part was given back. The kernel splits them, and has these
    /// back, when it is short of memory.
    pub(crate) huge_page_rests: u64,
    /// Page cache without shared memory and swap cache.
    pub(crate) cache: u64,
    /// Of it, what is on the active list.
    pub(crate) cache_active: u64,
    /// Of it, what some process maps.
    pub(crate) cache_mapped: u64,
    pub(crate) shmem: u64,
    pub(crate) kernel: KernelMemory,
}

/// What is less is how far the counters of one file are behind each other (`MEMCG_CHARGE_BATCH` for each processor), bytes.
const LEAST_RESTS: u64 = 512 << 10;

/// Reads the files of a cgroup's directory.
pub(crate) fn read(directory: &Path, version: u8) -> io::Result<Account> {
    let file = |name: &str| fs::read(directory.join(name));
    let bytes = |name: &str| {
        let text = file(name)?;
        number(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{name} holds no number")))
    };
    let stat = file("memory.stat")?;
    if version == 1 {
        // Absent where the kernel was told not to account for its own memory.
        let kernel = bytes("memory.kmem.usage_in_bytes").unwrap_or(0);
        let own = limit(&file("memory.limit_in_bytes")?);
        Ok(v1(&stat, bytes("memory.usage_in_bytes")?, own, kernel))
    } else {
        let own = file("memory.max").ok().and_then(|text| limit(&text));
        Ok(v2(&stat, bytes("memory.current")?, own))
    }
}

fn v1(stat: &[u8], usage: u64, limit: Option<u64>, kernel: u64) -> Account {
    let of = values(stat);
    let cache = of(b"total_cache").saturating_sub(of(b"total_shmem") + of(b"total_swapcached"));
    Account {
        usage,
        limit,
        anonymous: of(b"total_rss"),
        huge_page_rests: rests(
            of(b"total_active_anon") + of(b"total_inactive_anon"),
            of(b"total_rss") + of(b"total_shmem") + of(b"total_swapcached"),
        ),
        cache,
        cache_active: of(b"total_active_file").min(cache),
        cache_mapped: of(b"total_mapped_file").saturating_sub(of(b"total_shmem")).min(cache),
        shmem: of(b"total_shmem"),
        kernel: KernelMemory {
            all: kernel,
            ..KernelMemory::default()
        },
    }
}

fn v2(stat: &[u8], usage: u64, limit: Option<u64>) -> Account {
    let of = values(stat);
    let cache = of(b"file").saturating_sub(of(b"shmem") + of(b"swapcached"));
    let (tables, stacks) = (of(b"pagetables") + of(b"sec_pagetables"), of(b"kernel_stack"));
    let slab = of(b"slab");
    // The sum of all is told since Linux 5.18.
    let all = match of(b"kernel") {
        0 => tables + stacks + slab + of(b"percpu") + of(b"vmalloc"),
        told => told,
    };
    Account {
        usage,
        limit,
        anonymous: of(b"anon"),
        huge_page_rests: rests(
            of(b"active_anon") + of(b"inactive_anon"),
            of(b"anon") + of(b"shmem") + of(b"swapcached"),
        ),
        cache,
        cache_active: of(b"active_file").min(cache),
        cache_mapped: of(b"file_mapped").saturating_sub(of(b"shmem")).min(cache),
        shmem: of(b"shmem"),
        kernel: KernelMemory {
            all,
            page_tables: Some(tables),
            stacks: Some(stacks),
            slab: Some(slab),
            sockets: of(b"sock"),
        },
    }
}

/// The lists of pages have a huge page as a whole until it is split; what counts mapped pages has those of it that are mapped.
fn rests(listed: u64, mapped: u64) -> u64 {
    Some(listed.saturating_sub(mapped))
        .filter(|rests| *rests >= LEAST_RESTS)
        .unwrap_or(0)
}

fn values(stat: &[u8]) -> impl Fn(&[u8]) -> u64 {
    let all: BTreeMap<&[u8], u64> = pairs(stat).collect();
    move |name| all.get(name).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux 6.12, a container that writes to a tmpfs and reads files.
    const V2: &[u8] = b"anon 27459584
file 44527616
kernel 3125248
kernel_stack 245760
pagetables 950272
sec_pagetables 0
percpu 2880
sock 8192
vmalloc 0
shmem 20971520
zswap 0
zswapped 0
file_mapped 8192000
file_dirty 0
file_writeback 0
swapcached 4096
anon_thp 0
file_thp 0
shmem_thp 0
inactive_anon 48324608
active_anon 4096
inactive_file 15073280
active_file 8478720
unevictable 0
slab_reclaimable 1220608
slab_unreclaimable 559104
slab 1779712
";

    #[test]
    fn a_cgroup_of_v2_is_told_by_kind() {
        let account = v2(V2, 75_100_000, None);
        assert_eq!(account.cache, 44_527_616 - 20_971_520 - 4_096);
        assert_eq!(account.cache_active, 8_478_720);
        assert_eq!(account.cache_mapped, 0, "what is mapped may all be shared memory");
        assert_eq!(account.kernel.all, 3_125_248);
        assert_eq!(account.kernel.sockets, 8_192);
        let told = account.anonymous + account.cache + account.shmem + account.kernel.all + account.kernel.sockets;
        assert!(account.usage.abs_diff(told) * 100 < account.usage, "{account:?}");
    }

    #[test]
    fn rests_of_huge_pages_are_what_the_lists_have_more() {
        assert_eq!(v2(V2, 75_100_000, None).huge_page_rests, 0);
        // 6.18: 16 huge pages, of each of which 64 KiB are left.
        let stat = b"total_rss 1150976\ntotal_shmem 0\ntotal_inactive_anon 33652736\ntotal_active_anon 4096\n";
        let account = v1(stat, 33_812_480, None, 126_976);
        let told = account.anonymous + account.huge_page_rests + account.kernel.all;
        assert!(account.usage.abs_diff(told) * 100 < account.usage, "{account:?}");
    }

    #[test]
    fn before_5_18_the_kernels_memory_is_a_sum() {
        let text = String::from_utf8_lossy(V2).replace("kernel 3125248\n", "");
        let kernel = v2(text.as_bytes(), 75_100_000, Some(1 << 30)).kernel;
        assert_eq!(kernel.all, 245_760 + 950_272 + 2_880 + 1_779_712);
    }

    #[test]
    fn a_cgroup_of_v1_has_its_descendants_and_its_kernel_memory_apart() {
        let stat =
            b"cache 1\nrss 2\ntotal_cache 682958848\ntotal_rss 1855488\ntotal_shmem 4096\ntotal_mapped_file 26779648
total_swapcached 0\ntotal_inactive_file 282247168\ntotal_active_file 400711680\n";
        let account = v1(stat, 696_164_352, None, 11_042_816);
        let told = account.anonymous + account.cache + account.shmem + account.kernel.all;
        assert!(account.usage.abs_diff(told) * 100 < account.usage, "{account:?}");
        assert_eq!(account.cache_active, 400_711_680);
        assert_eq!(account.cache_mapped, 26_779_648 - 4_096);
        assert_eq!(account.kernel.page_tables, None);
    }
}
