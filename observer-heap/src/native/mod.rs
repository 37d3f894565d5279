//! Native memory: reads the C library's heaps and what stands in their blocks, produces who uses how much of it.

mod arenas;
mod chunks;
mod lists;

pub use arenas::{Areas, Arena, Block, Malloc, State};
