//! Heap snapshots in V8's own format: objects numbered, edges named, ids that stay within one sitting.

pub(crate) mod emit;
pub(crate) mod extras;
pub(crate) mod ids;
pub(crate) mod locations;
pub(crate) mod objects;
pub(crate) mod out;
pub(crate) mod plan;
pub(crate) mod sitting;
pub(crate) mod slots;
pub(crate) mod strings;
