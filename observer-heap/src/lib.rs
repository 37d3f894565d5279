//! Reads V8 heaps from outside over a [`Memory`] trait: what a Node.js process holds, by name, without touching it.
//!
//! [`Metadata`] comes from the executable's symbols, [`Reader::open`] proves the layout against the memory, and a
//! [`Reading`] counts what is there. Contents are never read out: only names from code, counts and bytes.

mod export;
mod graph;
mod layout;
mod memory;
mod names;
pub mod native;
mod report;
mod walk;

pub use export::sitting::{Sitting, SnapshotError, Spools, Written};
pub use graph::retainers::{Holders, Path};
pub use layout::metadata::{Metadata, MetadataError};
pub use layout::refusal::Refusal;
pub use memory::source::{Generated, Image, Memory, MemoryError, Original, Region};
pub use names::kind::{Kind, Origin};
pub use report::buffers::{Buffer, Extent, Holding, Place};
pub use report::growth::{Grown, Growth};
pub use report::led_outside::LedOutside;
pub use report::reader::Reader;
pub use report::reading::{Collection, Reading, Row, Summary};
pub use report::rise::{MOMENTS, Rise};
pub use report::suspects::Suspect;
pub use report::wrappers::Wrapped;
pub use walk::calibrate::Learned;
pub use walk::counts::Tally;
