//! Reads one cgroup's memory and CPU counters below a kept directory, produces a [`CgroupLevel`].

use std::{fs::File, path::PathBuf};

use observer_core::sample::{CgroupLevel, Limit};

use super::{
    Hierarchy,
    files::{self, MemoryStat},
    limits::{Limits, ancestry},
};
use crate::source::open_files::{self, Budget, OpenDirectory, OpenFile};

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

/// A cgroup whose files are read again and again.
#[derive(Debug)]
pub struct CgroupReader {
    path: String,
    files: Option<Files>,
    /// v1: what memory.stat told when the limits were read last.
    limits: Option<LimitsV1>,
}

/// v1's limits, which are read anew only when memory.stat tells another lowest one.
#[derive(Debug)]
struct LimitsV1 {
    /// `hierarchical_memory_limit`
    lowest: Option<u64>,
    own: Option<u64>,
    /// Where the lowest was found.
    place: Option<Limit>,
}

/// The directory and the costliest file stay open: with the process's `statm` three descriptors a container. The others
/// are opened for each reading, by the names that exist here.
#[derive(Debug)]
struct Files {
    directory: OpenDirectory,
    stat: OpenFile,
    usage: &'static str,
    peak: Option<&'static str>,
    kills: Option<&'static str>,
    swap: Option<&'static str>,
    cpu: Option<Cpu>,
    limit: Option<&'static str>,
    high: Option<&'static str>,
}

/// Where CPU time is told.
#[derive(Debug)]
enum Cpu {
    /// In v1's own hierarchy for it.
    Accounted(PathBuf),
    /// In the same directory.
    Unified(&'static str),
}

impl CgroupReader {
    pub(super) fn open(hierarchy: &Hierarchy, budget: &Budget, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            files: Files::open(hierarchy, budget, path),
            limits: None,
        }
    }

    /// Its canonical path.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn read(&mut self, hierarchy: &Hierarchy, limits: &mut Limits, text: &mut Vec<u8>) -> Level {
        let absent = |path: &str| match hierarchy.directory(path) {
            Some(dir) if !dir.is_dir() => Level::Vanished,
            _ => Level::Unaccounted,
        };
        let Some(files) = &self.files else {
            return absent(&self.path);
        };
        let stat = match files.stat.read(text) {
            Ok(()) if hierarchy.version() == 1 => files::stat_v1(text),
            Ok(()) => files::stat_v2(text),
            Err(error) if open_files::is_gone(&error) => return Level::Vanished,
            Err(_) => return Level::Unaccounted,
        };
        let usage = match files.directory.read(files.usage, text) {
            Ok(()) => files::number(text),
            Err(error) if open_files::is_gone(&error) => return Level::Vanished,
            Err(_) => None,
        };
        let Some(usage) = usage else { return Level::Unaccounted };
        let mut optional = |name: Option<&str>, parse: fn(&[u8]) -> Option<u64>| {
            files.directory.read(name?, text).ok()?;
            parse(text)
        };
        // v1 tells the lowest limit with the rest: what was found of it holds until it changes.
        let known = self.limits.take();
        let known = known.filter(|known| hierarchy.version() == 1 && known.lowest == stat.hierarchical_limit);
        let own_limit = match &known {
            // An own limit above the lowest may change without that one.
            Some(known) if known.own == known.lowest => known.own,
            _ => optional(files.limit, files::limit),
        };
        let high = optional(files.high, files::limit);
        let swap = optional(files.swap, files::number).unwrap_or(stat.swap);
        let peak = optional(files.peak, files::number);
        let oom_kills = optional(files.kills, |text| files::value(text, b"oom_kill"));
        let cpu_ns = match &files.cpu {
            Some(Cpu::Unified(name)) => {
                optional(Some(name), |text| files::value(text, b"usage_usec")).map(|us| us.saturating_mul(1000))
            }
            Some(Cpu::Accounted(path)) => File::open(path)
                .and_then(|file| open_files::read(&file, text))
                .ok()
                .and_then(|()| files::number(text)),
            None => None,
        };
        let limit = match hierarchy.version() {
            1 => self.limit_v1((stat.hierarchical_limit, own_limit), known, hierarchy, limits),
            _ => limits.lowest(hierarchy, &self.path, own_limit),
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
        (lowest, own): (Option<u64>, Option<u64>),
        known: Option<LimitsV1>,
        hierarchy: &Hierarchy,
        limits: &mut Limits,
    ) -> Option<Limit> {
        let place = known.map_or_else(
            || lowest.map(|bytes| self.place(bytes, own, hierarchy, limits)),
            |known| known.place,
        );
        self.limits = Some(LimitsV1 {
            lowest,
            own,
            place: place.clone(),
        });
        place
    }

    /// Where this limit stands.
    fn place(&self, bytes: u64, own: Option<u64>, hierarchy: &Hierarchy, limits: &mut Limits) -> Limit {
        let found = limits
            .lowest(hierarchy, &self.path, own)
            .filter(|limit| limit.bytes == bytes);
        let outermost = || ancestry(&self.path).last().unwrap_or("/").to_owned();
        found.unwrap_or_else(|| Limit {
            bytes,
            cgroup: outermost(),
        })
    }
}

impl Files {
    fn open(hierarchy: &Hierarchy, budget: &Budget, path: &str) -> Option<Self> {
        let directory = OpenDirectory::open(hierarchy.directory(path)?, budget).ok()?;
        let stat = directory.kept("memory.stat", budget).ok()?;
        let named = |name: &'static str| directory.file(name).is_ok().then_some(name);
        Some(if hierarchy.version() == 1 {
            let cpu = hierarchy
                .cpu_directory(path)
                .map(|directory| directory.join("cpuacct.usage"));
            Self {
                stat,
                usage: named("memory.usage_in_bytes")?,
                peak: named("memory.max_usage_in_bytes"),
                kills: named("memory.oom_control"),
                swap: None,
                cpu: cpu.filter(|file| file.exists()).map(Cpu::Accounted),
                limit: named("memory.limit_in_bytes"),
                high: named("memory.soft_limit_in_bytes"),
                directory,
            }
        } else {
            Self {
                stat,
                usage: named("memory.current")?,
                peak: named("memory.peak"),
                kills: named("memory.events"),
                swap: named("memory.swap.current"),
                cpu: named("cpu.stat").map(Cpu::Unified),
                limit: named("memory.max"),
                high: named("memory.high"),
                directory,
            }
        })
    }
}
