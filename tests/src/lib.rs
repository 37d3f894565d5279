//! Harness of the end-to-end tests and the stage of the demo: real Node programs in real containers, and the agent
//! that watches them.
//!
//! Reads what this machine can do ([`mod@need`]), produces processes, containers and cgroups that clean up after
//! themselves ([`stage`]), and what the agent says as it comes ([`agent`]). Nothing here waits by sleeping: a wait is
//! on the event itself, with a generous deadline.

pub mod agent;
pub mod app;
pub mod backend;
pub mod browser;
pub mod bundle;
pub mod catalogue;
pub mod cgroup;
pub mod cluster;
pub mod collector;
pub mod compiled;
pub mod container;
pub mod counterpart;
pub mod findings;
pub mod fleet;
pub mod histories;
pub mod lines;
pub mod load;
pub mod musl;
pub mod need;
pub mod otlp;
pub mod pace;
pub mod places;
pub mod pod;
pub mod ports;
pub mod proxy;
pub mod receiver;
pub mod rollouts;
pub mod stage;
pub mod threads;
pub mod tls;
pub mod tracefs;
