//! Growth: reads a stretch of a run's history, says whether it grows, how fast, towards what, and how near that is. Knows
//! history and statistics; nothing of earlier runs beyond the numbers it is given, and nothing of verdicts.

pub mod ceiling;
pub mod forecast;
pub mod garbage;
pub mod gates;
pub mod load;
pub(in crate::detect) mod measure;
pub mod misfit;
pub mod pace;
pub(in crate::detect) mod reprieve;
pub(in crate::detect) mod saturation;
pub mod shape;
pub(in crate::detect) mod troughs;
