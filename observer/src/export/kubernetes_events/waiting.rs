//! What waits to be written: takes Events, gives them out one by one, and counts what found no room.
//!
//! What is said of a pod again while it waits is one Event that counts: a server that is away makes the queue no longer.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use observer_core::time::WallTime;
use tokio::sync::Notify;

use super::event::{Key, Said};

/// Events waiting at most: more than pods of a node.
const CAPACITY: usize = 512;

/// A bounded queue between the agent and the task that writes.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<(Key, Said)>,
    dropped: u64,
}

impl Waiting {
    /// Adds what was said; the oldest makes room for it.
    pub(super) fn push(&self, key: Key, said: Said) {
        self.lock().merge(key, said);
        self.arrived.notify_one();
    }

    /// The oldest, taken out.
    pub(super) fn take(&self) -> Option<(Key, Said)> {
        self.lock().entries.pop_front()
    }

    /// Puts back what was not written, behind the others: what one pod's namespace refuses holds nobody else up.
    pub(super) fn put_back(&self, key: Key, said: Said) {
        self.lock().merge(key, said);
    }

    /// Returns when something arrived since the last call.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Counts findings that are not written.
    pub(super) fn dropped(&self, times: u32) {
        self.lock().dropped += u64::from(times);
    }

    /// How many wait, since when the oldest of them is known, and findings that were dropped.
    pub(super) fn depth(&self) -> (usize, Option<WallTime>, u64) {
        let state = self.lock();
        let oldest = state.entries.iter().map(|(_, said)| said.first).min();
        (state.entries.len(), oldest, state.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn merge(&mut self, key: Key, said: Said) {
        if let Some((_, waiting)) = self.entries.iter_mut().find(|(other, _)| *other == key) {
            waiting.times += said.times;
            waiting.first = waiting.first.min(said.first);
            if said.last >= waiting.last {
                (waiting.last, waiting.message) = (said.last, said.message);
            }
            return;
        }
        if self.entries.len() >= CAPACITY
            && let Some((_, oldest)) = self.entries.pop_front()
        {
            self.dropped += u64::from(oldest.times);
        }
        self.entries.push_back((key, said));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::event::Reason, *};

    fn key(pod: usize) -> Key {
        Key {
            namespace: "shop".to_owned(),
            pod: format!("api-{pod}"),
            uid: format!("uid-{pod}"),
            container: "api".to_owned(),
            reason: Reason::OomKilled,
        }
    }

    fn said(at: u64) -> Said {
        Said {
            times: 1,
            first: WallTime(at),
            last: WallTime(at),
            message: format!("at {at}"),
        }
    }

    #[test]
    fn what_is_said_again_is_one_event_with_the_newest_sentence() {
        let waiting = Waiting::default();
        waiting.push(key(1), said(10));
        waiting.push(key(2), said(11));
        waiting.push(key(1), said(20));
        // An attempt failed while it was said once more.
        let (first, taken) = waiting.take().unwrap();
        assert_eq!((taken.times, taken.message.as_str()), (2, "at 20"));
        waiting.push(first.clone(), said(30));
        waiting.put_back(first, taken);
        assert_eq!(waiting.take().unwrap().0, key(2), "nobody waits behind it");
        let (_, taken) = waiting.take().unwrap();
        assert_eq!(
            (taken.times, taken.first, taken.last, taken.message.as_str()),
            (3, WallTime(10), WallTime(30), "at 30")
        );
        assert_eq!(waiting.take(), None);
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let waiting = Waiting::default();
        waiting.push(key(0), said(1));
        waiting.push(key(0), said(2));
        for pod in 1..=CAPACITY {
            waiting.push(key(pod), said(3));
        }
        assert_eq!(waiting.depth(), (CAPACITY, Some(WallTime(3)), 2));
    }
}
