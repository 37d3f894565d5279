//! Another process's memory, knowing nothing of objects: where it is read from, V8's pages in it, the C library's heaps.

pub(crate) mod blocks;
pub(crate) mod by_address;
pub(crate) mod pages;
pub(crate) mod peek;
pub(crate) mod source;
