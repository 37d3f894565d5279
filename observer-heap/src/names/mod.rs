//! What code calls things: functions, scopes, lines.

pub(crate) mod functions;
pub(crate) mod lines;
pub(crate) mod scope_info;
pub(crate) mod scopes;
