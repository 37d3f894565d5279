//! Growth tracing: which processes are traced, their counters, and the one program that is attached only then.

use std::collections::BTreeSet;

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
    programs::{BtfTracePoint, tp_btf::BtfTracePointLinkId},
};
use observer_common::{
    growth::{Growth, GrowthCount, PLACES},
    name,
};

use super::{
    hook::GROWTH_PROGRAM,
    watch::{MapError, attach_failed, refused, take},
};
use crate::config::GrowthTracing;

/// Totals by [`observer_common::growth::Place`], in the order of `Place::ALL`.
pub type PlaceGrowth = [GrowthCount; PLACES];

/// Words of a [`Growth`]: aya moves arrays of integers in and out of maps.
const WORDS: usize = size_of::<Growth>() / size_of::<u64>();

pub(super) struct Tracer {
    map: HashMap<MapData, u32, [u64; WORDS]>,
    traced: BTreeSet<u32>,
    mode: GrowthTracing,
    /// The kernel has verified the program.
    available: bool,
    link: Option<BtfTracePointLinkId>,
}

impl Tracer {
    pub(super) fn open(ebpf: &mut Ebpf, mode: GrowthTracing, available: bool) -> Result<Self, String> {
        let map =
            HashMap::try_from(take(ebpf, name::GROWTH)?).map_err(|error| format!("map {}: {error}", name::GROWTH))?;
        Ok(Self {
            map,
            traced: BTreeSet::new(),
            mode,
            available,
            link: None,
        })
    }

    pub(super) fn is_always(&self) -> bool {
        self.mode == GrowthTracing::Always
    }

    /// Starts counting from zero, unless this process is traced already.
    pub(super) fn trace(&mut self, ebpf: &mut Ebpf, pid: u32) -> Result<bool, MapError> {
        if self.mode == GrowthTracing::Off || !self.available {
            return Ok(false);
        }
        if self.traced.contains(&pid) {
            return Ok(true);
        }
        self.map
            .insert(pid, [0; WORDS], 0)
            .map_err(|error| refused(pid, name::GROWTH, self.traced.len(), &error))?;
        self.traced.insert(pid);
        if self.link.is_none() {
            match attach(ebpf) {
                Ok(link) => self.link = Some(link),
                Err(error) => {
                    self.untrace(ebpf, pid);
                    return Err(attach_failed(pid, &error));
                }
            }
        }
        Ok(true)
    }

    pub(super) fn untrace(&mut self, ebpf: &mut Ebpf, pid: u32) {
        if self.traced.remove(&pid) {
            let _ = self.map.remove(&pid);
        }
        if self.traced.is_empty()
            && let Some(link) = self.link.take()
            && let Some(program) = program(ebpf)
        {
            // A link that is gone already is detached, which was the request.
            let _ = program.detach(link);
        }
    }

    pub(super) fn read(&self, pid: u32) -> Option<PlaceGrowth> {
        let words = self.traced.contains(&pid).then(|| self.map.get(&pid, 0).ok())??;
        let mut places = PlaceGrowth::default();
        for (place, words) in places.iter_mut().zip(words.chunks_exact(3)) {
            if let [grown, shrunk, calls] = *words {
                *place = GrowthCount { grown, shrunk, calls };
            }
        }
        Some(places)
    }
}

fn program(ebpf: &mut Ebpf) -> Option<&mut BtfTracePoint> {
    ebpf.program_mut(GROWTH_PROGRAM)?.try_into().ok()
}

fn attach(ebpf: &mut Ebpf) -> Result<BtfTracePointLinkId, aya::programs::ProgramError> {
    program(ebpf).ok_or(aya::programs::ProgramError::NotLoaded)?.attach()
}
