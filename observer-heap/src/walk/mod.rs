//! Objects one after another, old and young, and how many there are of each map.

pub(crate) mod barred;
pub(crate) mod calibrate;
pub(crate) mod counts;
pub(crate) mod few;
pub(crate) mod heap;
pub(crate) mod noted;
pub(crate) mod old;
pub(crate) mod walker;
pub(crate) mod young;
