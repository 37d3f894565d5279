//! Every name that leaves the agent, each with its convention or its reason.
//!
//! Semantic conventions 1.44.0 where they have a name; `observer.*` for the rest.

/// `service.name` (stable).
pub const SERVICE_NAME: &str = "service.name";
