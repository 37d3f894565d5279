//! How V8 arranges its objects in this process: what it publishes, offsets, sizes, maps; and why a heap is refused.

pub(crate) mod maps;
pub(crate) mod metadata;
pub(crate) mod offsets;
pub(crate) mod published;
pub(crate) mod refusal;
pub(crate) mod sizes;
pub(crate) mod tables;
pub(crate) mod types;
