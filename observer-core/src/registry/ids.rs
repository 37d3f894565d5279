//! Ids within the registry: of a container, of a slot.

use serde::{Deserialize, Serialize};

use crate::identity::Slot;

/// Number of a container within this engine; never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ContainerId(pub(crate) u64);

/// A slot, and which of several alike that live at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SlotId {
    pub(crate) slot: Slot,
    pub(crate) instance: u32,
}
