//! How a run ended, and why: reads what was seen of a death, produces its [`End`].

mod decide;
mod evidence;
mod hindsight;
mod senders;
#[cfg(test)]
mod tests;

pub use crate::finding::{Cause, End, OomKiller, Sender};
pub use decide::decide;
pub use evidence::{Evidence, SignalSeen, Victim};
pub(crate) use hindsight::{disrupted, started_again};
pub use senders::signal_name;
