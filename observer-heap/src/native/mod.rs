//! Native memory: reads the C library's heaps and what stands in their blocks, produces who uses how much of it.

mod arenas;
mod census;
mod chunks;
mod heaps;
#[cfg(test)]
mod hostile;
pub(crate) mod in_use;
mod lists;
mod vtables;

pub use arenas::{Areas, Arena, Block, Malloc, State};
pub use census::{Census, Class, Size, held_alone};
pub use vtables::Vtables;
