//! Nodes full of containers for the real engine: reads a plan or recordings, produces the Inputs that an agent's sources sent, or would have sent
//! on each node, steps the engine with them, and shows it to whoever exports what it says.

pub mod dashboards;
mod life;
mod node;
mod plan;
pub mod promtool;
mod recorded;
pub mod server;
pub mod thanos;

pub use node::{Moment, Node};
pub use plan::{Container, HEALTHY, Leaking, Part, Plan};
pub use recorded::Recorded;
