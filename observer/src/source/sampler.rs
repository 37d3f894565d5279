//! Holds the watched processes and their cgroups, produces a [`What::Sample`] for each at every interval.
//!
//! Cheap at a thousand containers: what is read stays open as far as descriptors allow, and a cgroup shared by several
//! processes is read once. A process that is gone is reported as [`What::Vanished`] one sweep later, if it has not been unwatched until
//! then: where the kernel's exit event arrives, it comes first.

use std::{collections::BTreeMap, fs::File, io, sync::Arc};

use observer_core::{
    Input, What,
    process::ProcessKey,
    sample::{CgroupLevel, Sample},
    time::BootTime,
};
use rustix::io::Errno;

use super::{
    cgroup::{CgroupReader, Cgroups, Level},
    open_files::{self, Budgeted},
    proc::{ProcError, Procfs, stat},
};

/// Why a process is not watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// As many are watched as the configuration allows.
    #[error("{most} processes are watched already; raise the limit of watched processes to see more")]
    Full {
        /// How many.
        most: usize,
    },
    /// It could not be read.
    #[error(transparent)]
    Process(#[from] ProcError),
}

/// What a sweep gave.
#[derive(Debug, Default, PartialEq)]
pub struct Sweep {
    /// Samples, and processes found gone.
    pub inputs: Vec<Input>,
    /// Watched processes of which nothing could be read this time, though they live.
    pub failed: u64,
}

/// Samples the watched.
#[derive(Debug)]
pub struct Sampler {
    procfs: Arc<Procfs>,
    cgroups: Cgroups,
    watched: BTreeMap<ProcessKey, Watched>,
    readers: BTreeMap<String, Reader>,
    most: usize,
    page_size: u64,
}

#[derive(Debug)]
struct Watched {
    /// `None` where no more descriptors may be kept: it is opened, and checked to be the same process, each time.
    statm: Option<Budgeted<File>>,
    cgroup: String,
    gone: bool,
}

#[derive(Debug)]
struct Reader {
    reader: CgroupReader,
    /// Watched processes in it.
    users: usize,
    /// What this sweep read.
    level: Option<CgroupLevel>,
}

impl Sampler {
    /// Samples at most `most` processes.
    pub fn new(procfs: Arc<Procfs>, cgroups: Cgroups, most: usize) -> Self {
        Self {
            procfs,
            cgroups,
            watched: BTreeMap::new(),
            readers: BTreeMap::new(),
            most,
            page_size: rustix::param::page_size() as u64,
        }
    }

    /// Watches a process and its cgroup (by canonical path) from the next sweep on. Watching it again moves it.
    pub fn watch(&mut self, process: ProcessKey, cgroup: &str) -> Result<(), WatchError> {
        if !self.watched.contains_key(&process) && self.watched.len() >= self.most {
            return Err(WatchError::Full { most: self.most });
        }
        let statm = self.cgroups.budget().keep(self.procfs.statm(process)?);
        self.unwatch(process);
        if let Some(reader) = self.readers.get_mut(cgroup) {
            reader.users += 1;
        } else {
            let reader = Reader {
                reader: self.cgroups.open(cgroup),
                users: 1,
                level: None,
            };
            self.readers.insert(cgroup.to_owned(), reader);
        }
        self.watched.insert(
            process,
            Watched {
                statm,
                cgroup: cgroup.to_owned(),
                gone: false,
            },
        );
        Ok(())
    }

    /// Watches it no more; nothing happens where it was not watched.
    pub fn unwatch(&mut self, process: ProcessKey) {
        let Some(watched) = self.watched.remove(&process) else {
            return;
        };
        if let Some(reader) = self.readers.get_mut(&watched.cgroup) {
            reader.users -= 1;
            if reader.users == 0 {
                self.readers.remove(&watched.cgroup);
            }
        }
    }

    /// How many processes are watched.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    /// The cgroups, for their kill counters.
    pub const fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Reads every watched process and cgroup once. `clock` is the boot clock: each sample carries the time at which it
    /// was read, since a sweep over a thousand containers takes tens of milliseconds. Growth counters are for the
    /// caller to join.
    pub fn sample_all(&mut self, mut clock: impl FnMut() -> BootTime) -> Sweep {
        for Reader { reader, level, .. } in self.readers.values_mut() {
            *level = match self.cgroups.read(reader) {
                Level::Read(level) => Some(level),
                Level::Vanished | Level::Unaccounted => None,
            };
        }
        self.cgroups.end_sweep();

        let mut sweep = Sweep::default();
        let mut vanished = Vec::new();
        let mut text = Vec::new();
        for (&process, watched) in &mut self.watched {
            let read = match &watched.statm {
                Some(kept) => open_files::read(kept, &mut text),
                None => match self.procfs.statm(process) {
                    Ok(file) => open_files::read(&file, &mut text),
                    Err(ProcError::Gone { .. }) => Err(Errno::SRCH.into()),
                    Err(ProcError::Read { source, .. }) => Err(source),
                    Err(error) => Err(io::Error::other(error)),
                },
            };
            let statm = match read {
                Ok(()) => Ok(stat::statm(&text)),
                Err(error) if open_files::is_gone(&error) => Ok(None),
                Err(error) => Err(error),
            };
            let at = clock();
            match statm {
                Ok(Some(statm)) => {
                    let sample = Sample {
                        process,
                        rss: Some(statm.resident.saturating_mul(self.page_size)),
                        rss_anon: Some(
                            statm
                                .resident
                                .saturating_sub(statm.shared)
                                .saturating_mul(self.page_size),
                        ),
                        cgroup: self
                            .readers
                            .get(&watched.cgroup)
                            .and_then(|reader| reader.level.clone()),
                        growth: None,
                    };
                    sweep.inputs.push(Input {
                        at,
                        what: What::Sample(Box::new(sample)),
                    });
                }
                Ok(None) if watched.gone => {
                    sweep.inputs.push(Input {
                        at,
                        what: What::Vanished(process),
                    });
                    vanished.push(process);
                }
                Ok(None) => watched.gone = true,
                Err(_) => sweep.failed += 1,
            }
        }
        for process in vanished {
            self.unwatch(process);
        }
        sweep
    }
}
