//! Reads V8 heaps from outside over a `Memory` trait.
