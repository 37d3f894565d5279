//! What was seen of a process and of its end: marks, signals, status, levels.

use serde::{Deserialize, Serialize};

use super::senders::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use crate::{
    finding::{Cause, Confidence, End, Sender},
    kernel::ExitStatus,
    time::{BootTime, SECOND},
};

/// A signal that was generated for a watched process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSeen {
    /// When.
    pub at: BootTime,
    /// Signal number.
    pub signal: u8,
    /// `si_code`: positive from the kernel, 0 or negative from a process.
    pub code: i32,
    /// False where the kernel ignored it.
    pub delivered: bool,
    /// Sender's thread-group id.
    pub sender_pid: u32,
    /// Sender's name.
    pub sender_comm: String,
}

/// A stop signal explains an exit for as long as the longest usual grace period (systemd's 90 s) and some.
const STOP_GRACE: u64 = 120 * SECOND;

/// What marks a victim of the kernel's OOM killer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Victim {
    /// Nothing.
    #[default]
    No,
    /// The kernel marked this process, or one of its threads.
    Marked,
    /// The kernel marked a thread by an id that could not be resolved, at the time of this death.
    Perhaps,
}

/// What was seen of a process and of its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence<'a> {
    /// Its thread-group id: tells a signal it sent itself from one of others.
    pub pid: u32,
    /// When it died.
    pub at: BootTime,
    /// Exit status, where the rung tells.
    pub status: Option<ExitStatus>,
    /// The exit itself was seen: not merely missed afterwards.
    pub seen: bool,
    /// It was running Node.js.
    pub node: bool,
    /// It was init in its pid namespace.
    pub init: bool,
    /// Victim mark.
    pub victim: Victim,
    /// Whether the kill counter of its own cgroup rose since last accounted for; `None` where not read.
    pub own_kills_rose: Option<bool>,
    /// The same for an ancestor's.
    pub ancestor_kills_rose: Option<bool>,
    /// Another process of the container was killed by the kernel for memory at the same time.
    pub group_kill: bool,
    /// Signals seen, oldest first.
    pub signals: Vec<&'a SignalSeen>,
    /// Resident bytes, from the last sample.
    pub rss: Option<u64>,
    /// The same, carried on at its last pace to the moment of death.
    pub rss_projected: Option<u64>,
    /// The largest of all samples.
    pub rss_seen: Option<u64>,
    /// The largest of its last image by the kernel's own count, told with its exit.
    pub peak_rss: Option<u64>,
    /// A bound of that from above, told by older kernels as well.
    pub max_rss: Option<u64>,
    /// V8's heap limit, predicted, bytes.
    pub heap_limit: Option<u64>,
    /// Trend of the cgroup from its last sample over its limit.
    pub saturation: Option<f64>,
    /// The owner was replacing the version.
    pub rollout: bool,
    /// Records were lost around the time of death.
    pub lossy: bool,
}

impl<'a> Evidence<'a> {
    /// The last stop signal, not older than the longest grace period: from another process where there is one, since
    /// Node.js answers a stop signal by raising it against itself once it has put its terminal in order.
    pub(super) fn stop(&self) -> Option<&'a SignalSeen> {
        let recent = |s: &&&SignalSeen| is_stop(s.signal) && s.delivered && self.at.since(s.at) <= STOP_GRACE;
        let foreign = |s: &&&SignalSeen| recent(s) && s.sender_pid != self.pid;
        let newest_first = || self.signals.iter().rev();
        newest_first()
            .find(foreign)
            .or_else(|| newest_first().find(recent))
            .copied()
    }

    /// The last SIGKILL that a process sent.
    pub(super) fn kill(&self) -> Option<&'a SignalSeen> {
        self.signals
            .iter()
            .rev()
            .find(|s| s.signal == SIGKILL && s.code <= 0)
            .copied()
    }

    pub(super) fn end(
        &self,
        cause: Cause,
        confidence: Confidence,
        sender: Option<&SignalSeen>,
        because: String,
    ) -> End {
        let sender = sender.map(|s| Sender {
            pid: s.sender_pid,
            comm: s.sender_comm.clone(),
            signal: s.signal,
        });
        End {
            cause,
            confidence,
            status: self.status,
            sender,
            because,
        }
    }
}

pub(super) const fn is_stop(signal: u8) -> bool {
    matches!(signal, SIGHUP | SIGINT | SIGTERM)
}
