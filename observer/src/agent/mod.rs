//! The agent: joins the kernel's records, the files' facts and samples and the clock into Inputs, steps the engine
//! with them, answers its requests, and hands its findings to the exporters.

mod allocator;
mod checkpoint;
mod heaps;
mod heartbeat;
mod input_channel;
mod inspector;
mod limits;
mod names;
mod observation;
#[cfg(feature = "kubernetes")]
mod pods;
#[cfg(not(feature = "kubernetes"))]
#[path = "pods_absent.rs"]
mod pods;
mod program_pages;
mod reorder;
mod rings;
mod sampling;
mod scan;
mod serve;
mod start;

pub use start::{AgentError, run};
