//! OTLP: reads findings, produces export requests under each workload's own Resource, delivered or counted.
//!
//! Not the OpenTelemetry SDK, which knows one Resource per provider and gives up after some retries
//! (docs/adr/0004-otlp-without-the-sdk.md).

mod batch;
mod codec;
mod delivery;
mod queue;
mod transport;

pub use batch::{Entry, SCHEMA_URL};
pub use delivery::{Counts, Delivery};
pub use queue::{Depth, Queue};
pub use transport::{Outcome, Transport, TransportError};
