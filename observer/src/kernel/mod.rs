//! The kernel half of the agent: loads the programs, reads their rings, maintains their maps.
//!
//! ```no_run
//! use std::time::Duration;
//! use observer::kernel::{Kernel, Options};
//!
//! # fn main() -> std::io::Result<()> {
//! let (mut kernel, mut rings, report) = Kernel::load(&Options::default());
//! if let Some(line) = report.shortfall() {
//!     println!("{line}");
//! }
//! // On a thread of its own; the engine's requests come back to `kernel.watch`, `kernel.trace`.
//! for input in rings.wait(Duration::from_millis(200))? {
//!     println!("{input:?}");
//! }
//! for lost in kernel.drops() {
//!     println!("{lost:?}"); // as What::Lost
//! }
//! # Ok(())
//! # }
//! ```

mod attach;
pub mod btf;
mod facts;
mod growth;
pub mod hook;
pub mod layout;
mod load;
pub mod log;
mod object;
mod options;
pub mod probe;
pub mod report;
pub mod ring;
mod watch;

use aya::{Ebpf, maps::RingBuf};
use observer_common::name;
use observer_core::{input::Lost, process::ProcessKey};

pub use self::{
    growth::PlaceGrowth,
    hook::{Hook, Rung},
    options::Options,
    report::{HookReport, Report},
    ring::Rings,
    watch::MapError,
};
pub use crate::config::{GrowthTracing, KernelLog};

/// The loaded programs and their maps. Everything is detached and freed when this is dropped, and by the kernel when
/// the agent dies. Without kernel programs every method is harmless: nothing is watched, counted or lost.
pub struct Kernel {
    loaded: Option<Loaded>,
}

struct Loaded {
    ebpf: Ebpf,
    watched: watch::Watched,
    growth: growth::Tracer,
    drops: watch::Drops,
    log: Option<log::Log>,
}

impl Kernel {
    /// Loads what this kernel allows and attaches it. Never fails: what could not be done is in the report.
    ///
    /// Without privileges, without BTF, in a pid namespace of its own, or built without kernel programs, the agent
    /// goes on with files.
    pub fn load(options: &Options) -> (Self, Rings, Report) {
        match load::load(options).and_then(|(ebpf, report)| Ok((Self::open(ebpf, &report, options)?, report))) {
            Ok(((kernel, rings), report)) => (kernel, rings, report),
            Err(reason) => (Self { loaded: None }, Rings::nothing(), Report::unavailable(reason)),
        }
    }

    fn open(mut ebpf: Ebpf, report: &Report, options: &Options) -> Result<(Self, Rings), String> {
        let mut ring = |name: &str| {
            let map = ebpf
                .take_map(name)
                .ok_or_else(|| format!("the object has no map {name}"))?;
            RingBuf::try_from(map).map_err(|error| format!("cannot map the ring {name}: {error}"))
        };
        let rings = Rings::new(ring(name::DEATHS)?, ring(name::EVENTS)?);
        let watched = watch::Watched::open(&mut ebpf)?;
        let drops = watch::Drops::open(&mut ebpf)?;
        let log = match options.log {
            KernelLog::Off => None,
            KernelLog::Info | KernelLog::Debug => Some(log::Log::open(&mut ebpf)?),
        };
        let growth = growth::Tracer::open(&mut ebpf, options.growth, report.rung(Hook::Growth) != Rung::Files)?;
        Ok((
            Self {
                loaded: Some(Loaded {
                    ebpf,
                    watched,
                    growth,
                    drops,
                    log,
                }),
            },
            rings,
        ))
    }

    /// Whether any kernel program runs.
    pub const fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    /// Reports signals to this process and its forks from now on; with [`GrowthTracing::Always`], traces it too.
    pub fn watch(&mut self, process: ProcessKey) -> Result<(), MapError> {
        let Some(loaded) = &mut self.loaded else { return Ok(()) };
        loaded.watched.insert(process.pid)?;
        if loaded.growth.is_always() {
            loaded.growth.trace(&mut loaded.ebpf, process.pid)?;
        }
        Ok(())
    }

    /// No more: neither signals nor growth. Call it when the process has gone, before its pid is used again; records
    /// of a successor in between carry the successor's own start time.
    pub fn unwatch(&mut self, process: ProcessKey) {
        if let Some(loaded) = &mut self.loaded {
            loaded.watched.remove(process.pid);
            loaded.growth.untrace(&mut loaded.ebpf, process.pid);
        }
    }

    /// Counts this process's growth by place, or stops. Attaches the program with the first traced process and
    /// detaches it with the last. Returns whether it is traced now: never with [`GrowthTracing::Off`] or where the
    /// kernel does not allow it.
    pub fn trace(&mut self, process: ProcessKey, on: bool) -> Result<bool, MapError> {
        let Some(loaded) = &mut self.loaded else {
            return Ok(false);
        };
        if on {
            return loaded.growth.trace(&mut loaded.ebpf, process.pid);
        }
        if !loaded.growth.is_always() {
            loaded.growth.untrace(&mut loaded.ebpf, process.pid);
        }
        Ok(false)
    }

    /// Growth of a traced process by place since it has been traced; `None` where it is not.
    pub fn growth(&self, process: ProcessKey) -> Option<PlaceGrowth> {
        self.loaded.as_ref()?.growth.read(process.pid)
    }

    /// Records lost since the last call because a ring was full, by kind; kinds without loss are left out.
    pub fn drops(&mut self) -> Vec<Lost> {
        self.loaded
            .as_mut()
            .map(|loaded| loaded.drops.since_last())
            .unwrap_or_default()
    }

    /// What the programs say of themselves, once; `None` where the log is off.
    pub fn take_log(&mut self) -> Option<log::Log> {
        self.loaded.as_mut()?.log.take()
    }

    /// How many processes are watched.
    pub fn watched(&self) -> usize {
        self.loaded.as_ref().map_or(0, |loaded| loaded.watched.len())
    }
}
