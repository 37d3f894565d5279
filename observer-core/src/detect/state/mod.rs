//! State: what is said of a slot, and when. Composes the layers below into [`SlotDetector`](slot::SlotDetector); the steps are
//! functions of values, and only these files change a detector.

mod carry_over;
mod decide;
mod end;
mod evaluate;
mod retract;
pub mod slot;
mod verdict;

pub use decide::progress;
