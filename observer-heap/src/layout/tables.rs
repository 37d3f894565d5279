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
    /// Whether every kind of collection was seen.
    pub(crate) fn complete(&self) -> bool {
        [self.map, self.set, self.weak, self.names].iter().all(Option::is_some)
    }
}
