//! Reads one cgroup's memory and CPU counters on kept descriptors, produces a [`CgroupLevel`].

use observer_core::sample::{CgroupLevel, Limit};

use super::{
    Hierarchy,
    files::{self, MemoryStat},
    limits::{Limits, ancestry},
};
use crate::source::kept::{self, Budget, KeptFile};

/// What reading a cgroup gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    /// Its counters.
    Read(CgroupLevel),
    /// It has been removed.
    Vanished,
    /// It exists without memory accounting of its own (the root; a v2 cgroup whose parent does not delegate memory),
    /// or is outside what is mounted.
    Unaccounted,
}

/// A cgroup's files, open.
#[derive(Debug)]
pub struct CgroupReader {
    path: String,
    files: Option<Files>,
    /// v1: where the lowest limit was found, to be looked for anew only when it changes.
    limit: Option<Limit>,
    text: Vec<u8>,
}

#[derive(Debug)]
struct Files {
    stat: KeptFile,
    usage: KeptFile,
    peak: Option<KeptFile>,
    kills: Option<KeptFile>,
    swap: Option<KeptFile>,
    cpu: Option<KeptFile>,
    limit: Option<KeptFile>,
    high: Option<KeptFile>,
}

impl CgroupReader {
    pub(super) fn open(hierarchy: &Hierarchy, budget: &Budget, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            files: Files::open(hierarchy, budget, path),
            limit: None,
            text: Vec::new(),
        }
    }

    /// Its canonical path.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn read(&mut self, hierarchy: &Hierarchy, budget: &Budget, limits: &mut Limits) -> Level {
        let absent = |path: &str| match hierarchy.directory(path) {
            Some(dir) if !dir.is_dir() => Level::Vanished,
            _ => Level::Unaccounted,
        };
        let Some(files) = &self.files else {
            return absent(&self.path);
        };
        let text = &mut self.text;
        let usage = match files.usage.read(text) {
            Ok(()) => files::number(text),
            Err(error) if kept::is_gone(&error) => return Level::Vanished,
            Err(_) => None,
        };
        let stat = match files.stat.read(text) {
            Ok(()) if hierarchy.version() == 1 => files::stat_v1(text),
            Ok(()) => files::stat_v2(text),
            Err(error) if kept::is_gone(&error) => return Level::Vanished,
            Err(_) => return Level::Unaccounted,
        };
        let Some(usage) = usage else { return Level::Unaccounted };
        let mut optional = |file: &Option<KeptFile>, parse: fn(&[u8]) -> Option<u64>| {
            file.as_ref()?.read(text).ok()?;
            parse(text)
        };
        let own_limit = optional(&files.limit, files::limit);
        let high = optional(&files.high, files::limit);
        let swap = optional(&files.swap, files::number).unwrap_or(stat.swap);
        let peak = optional(&files.peak, files::number);
        let oom_kills = optional(&files.kills, |text| files::value(text, b"oom_kill"));
        let cpu_ns = if hierarchy.version() == 1 {
            optional(&files.cpu, files::number)
        } else {
            optional(&files.cpu, |text| files::value(text, b"usage_usec")).map(|us| us.saturating_mul(1000))
        };
        let limit = match hierarchy.version() {
            1 => self.limit_v1(&stat, hierarchy, budget, limits),
            _ => limits.lowest(hierarchy, budget, &self.path),
        };
        let MemoryStat {
            anon,
            file,
            shmem,
            slab_unreclaimable,
            inactive_file,
            ..
        } = stat;
        let level = CgroupLevel {
            usage,
            anon,
            file,
            shmem,
            swap,
            slab_unreclaimable,
            inactive_file,
            limit,
            own_limit,
            high,
            peak,
            oom_kills,
            cpu_ns,
        };
        Level::Read(level)
    }

    /// v1 states the lowest limit itself, of ancestors too that are not visible here; only its place is looked for.
    fn limit_v1(
        &mut self,
        stat: &MemoryStat,
        hierarchy: &Hierarchy,
        budget: &Budget,
        limits: &mut Limits,
    ) -> Option<Limit> {
        let bytes = stat.hierarchical_limit?;
        if self.limit.as_ref().is_none_or(|limit| limit.bytes != bytes) {
            let found = limits
                .lowest(hierarchy, budget, &self.path)
                .filter(|limit| limit.bytes == bytes);
            let outermost = || ancestry(&self.path).last().unwrap_or("/").to_owned();
            self.limit = Some(found.unwrap_or_else(|| Limit {
                bytes,
                cgroup: outermost(),
            }));
        }
        self.limit.clone()
    }
}

impl Files {
    fn open(hierarchy: &Hierarchy, budget: &Budget, path: &str) -> Option<Self> {
        let dir = hierarchy.directory(path)?;
        let cpu = hierarchy.cpu_directory(path);
        let open = |name: &str| KeptFile::open(dir.join(name), budget).ok();
        let cpu = |name: &str| KeptFile::open(cpu.as_ref()?.join(name), budget).ok();
        Some(if hierarchy.version() == 1 {
            Self {
                stat: open("memory.stat")?,
                usage: open("memory.usage_in_bytes")?,
                peak: open("memory.max_usage_in_bytes"),
                kills: open("memory.oom_control"),
                swap: None,
                cpu: cpu("cpuacct.usage"),
                limit: open("memory.limit_in_bytes"),
                high: open("memory.soft_limit_in_bytes"),
            }
        } else {
            Self {
                stat: open("memory.stat")?,
                usage: open("memory.current")?,
                peak: open("memory.peak"),
                kills: open("memory.events"),
                swap: open("memory.swap.current"),
                cpu: cpu("cpu.stat"),
                limit: open("memory.max"),
                high: open("memory.high"),
            }
        })
    }
}
