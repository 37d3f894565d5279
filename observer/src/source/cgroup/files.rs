//! Reads the text of cgroup files, produces numbers. Layouts: Documentation/admin-guide/cgroup-v1/memory.rst and
//! cgroup-v2.rst of the kernel.

/// v1's "no limit" is the largest page counter times the page size, 2^63 less a page; anything beyond this is none.
const NO_LIMIT: u64 = 1 << 62;

/// A file with one number.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}

/// A file with a limit: `None` where it holds none.
pub(crate) fn limit(text: &[u8]) -> Option<u64> {
    number(text).filter(|bytes| *bytes < NO_LIMIT) // v2 writes `max`, which is no number
}

/// The pairs of a flat-keyed file.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    text.split(|&b| b == b'\n').filter_map(|line| {
        let at = line.iter().position(|&b| b == b' ')?;
        Some((&line[..at], number(&line[at + 1..])?))
    })
}

/// One value of a flat-keyed file.
pub(crate) fn value(text: &[u8], key: &[u8]) -> Option<u64> {
    pairs(text).find_map(|(name, value)| (name == key).then_some(value))
}

/// What memory.stat tells, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryStat {
    pub(crate) anon: u64,
    /// Page cache without shared memory, which the kernel counts as part of it.
    pub(crate) file: u64,
    pub(crate) shmem: u64,
    pub(crate) slab_unreclaimable: u64,
    pub(crate) inactive_file: u64,
    /// v1 only: v2 has a file of its own.
    pub(crate) swap: u64,
    /// v1 only: the lowest limit of this cgroup and its ancestors.
    pub(crate) hierarchical_limit: Option<u64>,
}

/// v1's memory.stat: `total_*` include the descendants, as every v2 number does.
pub(crate) fn stat_v1(text: &[u8]) -> MemoryStat {
    let mut stat = MemoryStat::default();
    for (name, value) in pairs(text) {
        match name {
            b"total_rss" => stat.anon = value,
            b"total_cache" => stat.file = value,
            b"total_shmem" => stat.shmem = value,
            b"total_swap" => stat.swap = value,
            b"total_inactive_file" => stat.inactive_file = value,
            b"hierarchical_memory_limit" => stat.hierarchical_limit = (value < NO_LIMIT).then_some(value),
            _ => {}
        }
    }
    stat.file = stat.file.saturating_sub(stat.shmem);
    stat
}

/// v2's memory.stat.
pub(crate) fn stat_v2(text: &[u8]) -> MemoryStat {
    let mut stat = MemoryStat::default();
    for (name, value) in pairs(text) {
        match name {
            b"anon" => stat.anon = value,
            b"file" => stat.file = value,
            b"shmem" => stat.shmem = value,
            b"slab_unreclaimable" => stat.slab_unreclaimable = value,
            b"inactive_file" => stat.inactive_file = value,
            _ => {}
        }
    }
    stat.file = stat.file.saturating_sub(stat.shmem);
    stat
}
