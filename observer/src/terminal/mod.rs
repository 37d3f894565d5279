//! The way out to a person: reads pages, lines and names from anywhere, produces what may be written to a terminal.
//!
//! Names come from processes, containers and files that nobody vouches for. Nothing else in this crate writes to standard
//! output or standard error (`clippy.toml` refuses it), and nothing leaves here with a control character or an invisible
//! one in it. See docs/security.md.

pub mod clean;
#[cfg(test)]
pub(crate) mod hostile;
mod look;
mod page;
pub mod text;

pub use look::{Look, is_terminal};
pub use page::{Printed, complain, json, json_value, pass_on, print, progress, progress_done, rendered, say, stdout};
