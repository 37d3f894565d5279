//! What holds what: marks, samples, searches upwards.

pub(crate) mod held;
pub(crate) mod live;
pub(crate) mod owners;
pub(crate) mod retainers;
pub(crate) mod sample;
