//! The catalogue of what containers do: reads a kind and a seed, produces the rows a sampler would have written of it and
//! the truth about it. 20 kinds leak and 24 only look like it.

pub mod kinds;
mod rng;
pub mod simulate;
pub mod spec;
pub mod variety;
