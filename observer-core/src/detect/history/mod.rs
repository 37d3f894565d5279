//! History: reads levels as they come, keeps a run from its last minutes to its whole life in bounded space. Knows nothing
//! of growth or verdicts.

pub mod parts;
pub mod point;
pub mod ring;
pub(in crate::detect) mod run;
pub mod span;
pub mod window;
