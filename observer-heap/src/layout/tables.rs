//! Instance types that no version publishes, learned from the objects that point at them.

/// Instance types of hash tables, learned from the collections that point at them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tables {
    pub(crate) map: Option<u16>,
    pub(crate) set: Option<u16>,
    pub(crate) weak: Option<u16>,
    pub(crate) names: Option<u16>,
    /// Free blocks: the type whose objects give their whole size.
    pub(crate) free: Option<u16>,
}

impl Tables {
    /// Whether this is the type of Maps' or of Sets' tables.
    pub(crate) fn is_collection(&self, instance_type: u16) -> bool {
        [self.map, self.set].contains(&Some(instance_type))
    }

    /// Whether every kind of collection was seen.
    pub(crate) fn complete(&self) -> bool {
        [self.map, self.set, self.weak, self.names].iter().all(Option::is_some)
    }
}
