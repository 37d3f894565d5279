//! Every name that leaves the agent, each with its convention or its reason.
//!
//! Semantic conventions 1.44.0 where they have a name; `observer.*` for the rest.

/// `service.name` (stable).
pub const SERVICE_NAME: &str = "service.name";
/// `service.version` (stable).
pub const SERVICE_VERSION: &str = "service.version";
/// `host.name` (development): the agent's host.
pub const HOST_NAME: &str = "host.name";
/// `container.name` (development).
pub const CONTAINER_NAME: &str = "container.name";
/// `process.runtime.name` (development): `nodejs` by convention.
pub const PROCESS_RUNTIME_NAME: &str = "process.runtime.name";
/// `process.runtime.version` (development).
pub const PROCESS_RUNTIME_VERSION: &str = "process.runtime.version";
