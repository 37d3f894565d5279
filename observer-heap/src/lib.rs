//! Reads V8 heaps from outside over a [`Memory`] trait: what a Node.js process holds, by name, without touching it.
//!
//! [`Metadata`] comes from the executable's symbols, [`Reader::open`] proves the layout against the memory, and a
//! [`Reading`] counts what is there. Contents are never read out: only names from code, counts and bytes.

mod c_heap;
mod growth;
mod histogram;
mod layout;
mod lines;
mod live;
mod maps;
mod memory;
mod metadata;
mod names;
mod owners;
mod pages;
mod peek;
mod reader;
mod reading;
mod refusal;
mod retainers;
mod sample;
mod scope_info;
mod scopes;
mod sizes;
mod walk;
mod wording;
mod young;

pub use growth::{Grown, Growth, MOMENTS};
pub use histogram::Tally;
pub use memory::{Image, Memory, MemoryError, Region};
pub use metadata::{Metadata, MetadataError};
pub use reader::Reader;
pub use reading::{Collection, Kind, Origin, Reading, Row, Summary};
pub use refusal::Refusal;
pub use retainers::{Holders, Path};
