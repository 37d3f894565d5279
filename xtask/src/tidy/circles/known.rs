//! Circles of imports that are known and wait to be mended: files, and folders. The list only shrinks.

/// Who is in them.
pub(super) const KNOWN: &[&str] = &[];
