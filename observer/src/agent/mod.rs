//! The agent: joins the kernel's records, the files' facts and samples and the clock into Inputs, steps the engine
//! with them, answers its wishes, and hands its findings to the exporters.

mod clock;
mod inspector;
mod intake;
mod names;
mod observation;
mod order;
mod pods;
mod rings;
mod sampling;
mod scan;

pub use observation::{AgentError, run};
