//! What code calls things: functions, scopes, lines.

pub(crate) mod classes;
pub(crate) mod describe;
pub(crate) mod functions;
pub(crate) mod kind;
pub(crate) mod lines;
pub(crate) mod scope_info;
pub(crate) mod scopes;
