//! Sources: read procfs and the cgroup file systems, produce the facts and samples that go into the engine.
//!
//! Every read here is a short blocking read of a pseudo file (no async runtime helps those) except an executable's
//! first inspection and a package.json, which read a real file: call from a thread that may block.

pub mod cgroup;
mod copied;
pub mod elf;
pub mod engines;
pub mod idle;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod memory;
mod open_files;
mod pagemap;
pub mod proc;
mod rooted;
pub mod sampler;
mod source_maps;
mod stacks;
pub mod usage;

pub use cgroup::{Cgroups, Level};
pub use engines::{EngineError, Engines};
pub use proc::{ProcError, Procfs};
pub use sampler::{Sampler, Sweep, WatchError};
