//! What a person is told: readings, what grew, in words.

pub(crate) mod buffers;
mod content;
pub(crate) mod count;
pub(crate) mod growth;
pub(crate) mod led_outside;
mod measured;
pub(crate) mod reader;
pub(crate) mod reading;
pub(crate) mod rise;
pub(crate) mod rows;
pub(crate) mod suspects;
pub(crate) mod wording;
pub(crate) mod wrappers;
