//! Harness of the end-to-end tests and the stage of the demo: real Node programs in real containers, and the agent
//! that watches them.
//!
//! Reads what this machine can do ([`need`]), produces processes, containers and cgroups that clean up after
//! themselves, and the agent's findings as they come. Nothing here waits by sleeping: a wait is on the event itself,
//! with a generous deadline.

pub mod need;
pub mod places;
