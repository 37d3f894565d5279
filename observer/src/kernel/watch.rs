//! The set of watched processes and the counters of lost records: two maps shared with the programs.

use std::collections::BTreeSet;

use aya::{
    Ebpf,
    maps::{self, HashMap, MapData, PerCpuArray},
};
use observer_common::{
    name,
    record::{DROP_SLOTS, Kind},
};
use observer_core::input::Lost;

/// Why a process could not be entered into a map.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// There is no room.
    #[error("cannot add pid {pid} to {map}: all {max} places are taken")]
    Full {
        /// Thread-group id that was not added.
        pid: u32,
        /// Name of the map.
        map: &'static str,
        /// Its size.
        max: usize,
    },
    /// The kernel refused for another reason.
    #[error("cannot add pid {pid} to {map}: {reason}")]
    Refused {
        /// Thread-group id.
        pid: u32,
        /// Name of the map.
        map: &'static str,
        /// Why.
        reason: String,
    },
}

/// Sorts out a failed insertion; `held` is how many entries the map has by our own account.
pub(super) fn refused(pid: u32, map: &'static str, held: usize, error: &maps::MapError) -> MapError {
    match error {
        maps::MapError::SyscallError(call) if call.io_error.raw_os_error() == Some(libc::E2BIG) => {
            MapError::Full { pid, map, max: held }
        }
        other => MapError::Refused {
            pid,
            map,
            reason: other.to_string(),
        },
    }
}

/// Takes a map out of the object.
pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<maps::Map, String> {
    ebpf.take_map(name)
        .ok_or_else(|| format!("the object has no map {name}"))
}

/// The watched processes.
pub(super) struct Watched {
    map: HashMap<MapData, u32, u32>,
    pids: BTreeSet<u32>,
}

impl Watched {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, String> {
        let map =
            HashMap::try_from(take(ebpf, name::WATCHED)?).map_err(|error| format!("map {}: {error}", name::WATCHED))?;
        Ok(Self {
            map,
            pids: BTreeSet::new(),
        })
    }

    pub(super) fn insert(&mut self, pid: u32) -> Result<(), MapError> {
        self.map
            .insert(pid, 1, 0)
            .map_err(|error| refused(pid, name::WATCHED, self.pids.len(), &error))?;
        self.pids.insert(pid);
        Ok(())
    }

    /// A process that is not in the map is no error: it is not watched, which was the request.
    pub(super) fn remove(&mut self, pid: u32) {
        if self.pids.remove(&pid) {
            let _ = self.map.remove(&pid);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pids.len()
    }
}

/// Counters of records dropped because a ring was full.
pub(super) struct Drops {
    map: PerCpuArray<MapData, u64>,
    /// Totals at the last reading, by [`Kind`].
    seen: [u64; DROP_SLOTS as usize],
}

impl Drops {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, String> {
        let map =
            PerCpuArray::try_from(take(ebpf, name::DROPS)?).map_err(|error| format!("map {}: {error}", name::DROPS))?;
        Ok(Self {
            map,
            seen: [0; DROP_SLOTS as usize],
        })
    }

    pub(super) fn since_last(&mut self) -> Vec<Lost> {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let slot = kind as u32;
                // An array's slots cannot be missing; were one unreadable, its loss is counted at the next reading.
                let total: u64 = self.map.get(&slot, 0).ok()?.iter().sum();
                let seen = self.seen.get_mut(slot as usize)?;
                let count = total.saturating_sub(std::mem::replace(seen, total));
                (count > 0).then(|| Lost {
                    stage: "ring".into(),
                    kind: kind.name().into(),
                    count,
                })
            })
            .collect()
    }
}

/// The program that feeds the map could not be attached.
pub(super) fn attach_failed(pid: u32, error: &dyn std::error::Error) -> MapError {
    MapError::Refused {
        pid,
        map: name::GROWTH,
        reason: format!("cannot attach the growth program: {error}"),
    }
}
