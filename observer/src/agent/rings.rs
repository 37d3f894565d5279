//! The kernel's reader: takes records out of the rings as they come, passes them to the engine, never waits for it.

use std::{thread, time::Duration};

use super::{heartbeat::Heartbeat, input_channel::InputSender};
use crate::{
    clock,
    kernel::{Rings, log::Log},
    terminal::say,
};

/// How long a wait for records lasts before the thread shows that it lives. Each wait that ends without a record wakes the
/// processor for nothing, on every host that runs the agent.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the thread; it ends when the engine's end of `sender` is gone.
pub(super) fn start(mut rings: Rings, heartbeat: Heartbeat, sender: InputSender) -> std::io::Result<()> {
    thread::Builder::new().name("rings".into()).spawn(move || {
        while !sender.is_closed() {
            heartbeat.beat(clock::boot());
            match rings.wait(PATIENCE) {
                Ok(inputs) => inputs.into_iter().for_each(|input| sender.edge(input)),
                Err(error) => {
                    say(format_args!(
                        "the kernel's records can no longer be read ({error}); observation goes on with files alone"
                    ));
                    return;
                }
            }
        }
    })?;
    Ok(())
}

/// Starts the thread that says what the kernel programs say of themselves; it ends like the reader's. Slow as standard
/// error may be, records do not wait for it.
pub(super) fn start_log(mut log: Log, sender: InputSender) -> std::io::Result<()> {
    thread::Builder::new().name("kernel-log".into()).spawn(move || {
        while !sender.is_closed() {
            match log.wait(PATIENCE) {
                Ok(lines) => lines.iter().for_each(|line| say(format_args!("kernel: {line}"))),
                Err(error) => {
                    say(format_args!("the kernel programs' log can no longer be read ({error})"));
                    return;
                }
            }
        }
    })?;
    Ok(())
}
