//! What holds what: marks, samples, searches upwards.

pub(crate) mod ancestors;
pub(crate) mod before;
pub(crate) mod chains;
pub(crate) mod disturbed;
pub(crate) mod dominators;
pub(crate) mod ends;
pub(crate) mod filter;
pub(crate) mod follow;
pub(crate) mod held;
pub(crate) mod labels;
pub(crate) mod live;
pub(crate) mod owners;
pub(crate) mod relabel;
pub(crate) mod repeated;
pub(crate) mod retained;
pub(crate) mod retainers;
pub(crate) mod roots;
pub(crate) mod sample;
pub(crate) mod targets;
pub(crate) mod ways;
