//! What waits to be delivered: takes entries, gives batches, produces counts of what had to be dropped.
//!
//! Bounded in bytes. Where it is full the oldest entry goes, counted: the newest state of a service is worth more
//! than the oldest.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::batch::Entry;

/// Bytes a queue holds at most: some ten thousand events.
const CAPACITY: usize = 16 << 20;

/// A bounded queue between the agent and one signal's delivery.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Position of `entries[0]` since the start: a batch is acknowledged by position, since the oldest may have been
    /// dropped while it was on its way.
    first: u64,
    dropped: u64,
}

impl State {
    /// Drops the oldest until the rest fits, and counts them.
    fn shed(&mut self, capacity: usize) {
        while self.bytes > capacity {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.size();
            self.first += 1;
            self.dropped += 1;
        }
    }
}

/// Some of the oldest entries, left in the queue until they are acknowledged.
#[derive(Debug)]
pub struct Batch {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    first: u64,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Entries waiting.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Entries dropped since the start because there was no room.
    pub dropped: u64,
    /// When the oldest was made, nanoseconds since 1970; `None` where nothing waits.
    pub oldest: Option<u64>,
}

impl Default for Queue {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Queue {
    /// A queue of at most `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            capacity,
        }
    }

    /// Adds an entry; the oldest make room for it.
    pub fn push(&self, entry: Entry) {
        let mut state = self.lock();
        state.bytes += entry.size();
        state.entries.push_back(entry);
        while state.bytes > self.capacity {
            let Some(oldest) = state.entries.pop_front() else { break };
            state.bytes -= oldest.size();
            state.first += 1;
            state.dropped += 1;
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// The oldest entries, at most `count` of them and about `bytes` in all; `None` where nothing waits.
    pub fn batch(&self, count: usize, bytes: usize) -> Option<Batch> {
        let state = self.lock();
        let mut room = bytes;
        let entries: Vec<Entry> = state
            .entries
            .iter()
            .take(count)
            .take_while(|entry| {
                let fits = room > 0;
                room = room.saturating_sub(entry.size());
                fits
            })
            .cloned()
            .collect();
        (!entries.is_empty()).then_some(Batch {
            entries,
            first: state.first,
        })
    }

    /// Forgets the first `count` entries of a batch: they were delivered, or never will be.
    pub fn acknowledge(&self, batch: &Batch, count: usize) {
        let mut state = self.lock();
        let end = batch.first + count as u64;
        while state.first < end {
            let Some(entry) = state.entries.pop_front() else { break };
            state.bytes -= entry.size();
            state.first += 1;
        }
    }

    /// Puts entries of an earlier agent at the front. `first` is the position that the next entry would have had.
    pub fn restore(&self, first: u64, entries: Vec<Entry>) {
        let mut state = self.lock();
        state.first = first;
        for entry in entries.into_iter().rev() {
            state.bytes += entry.size();
            state.entries.push_front(entry);
        }
        let capacity = self.capacity;
        state.shed(capacity);
        drop(state);
        self.arrived.notify_one();
    }

    /// Positions of what waits: of the first entry, and one past the last.
    pub fn window(&self) -> (u64, u64) {
        let state = self.lock();
        (state.first, state.first + state.entries.len() as u64)
    }

    /// Position of the first entry that waits, and the entries from `position` on.
    pub fn since(&self, position: u64) -> (u64, Vec<Entry>) {
        let state = self.lock();
        let known = position.saturating_sub(state.first) as usize;
        (state.first, state.entries.iter().skip(known).cloned().collect())
    }

    /// Returns when an entry arrived since the last call.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How full it is.
    pub fn depth(&self) -> Depth {
        let state = self.lock();
        Depth {
            entries: state.entries.len(),
            bytes: state.bytes,
            dropped: state.dropped,
            oldest: state.entries.front().map(|entry| entry.made),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(id: usize) -> Entry {
        Entry {
            id: format!("{id:04}"),
            resource: Bytes::new(),
            record: Bytes::from_static(&[0; 96]),
            made: 1,
        }
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.entries.iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let queue = Queue::with_capacity(1000);
        (0..25).for_each(|id| queue.push(entry(id)));
        assert_eq!(
            queue.depth(),
            Depth {
                entries: 10,
                bytes: 1000,
                dropped: 15,
                oldest: Some(1),
            }
        );
        assert_eq!(ids(&queue.batch(2, 10_000).unwrap()), ["0015", "0016"]);
        assert_eq!(queue.batch(100, 250).unwrap().entries.len(), 3);
    }

    #[test]
    fn a_batch_whose_entries_were_dropped_meanwhile_takes_no_others_with_it() {
        let queue = Queue::with_capacity(1000);
        (0..10).for_each(|id| queue.push(entry(id)));
        let batch = queue.batch(4, 10_000).unwrap();
        queue.push(entry(10));
        queue.push(entry(11));
        queue.acknowledge(&batch, 4);
        assert_eq!(ids(&queue.batch(1, 1).unwrap()), ["0004"]);
        assert_eq!(
            queue.depth(),
            Depth {
                entries: 8,
                bytes: 800,
                dropped: 2,
                oldest: Some(1),
            }
        );
    }

    #[test]
    fn an_entry_larger_than_the_queue_is_counted_too() {
        let queue = Queue::with_capacity(50);
        queue.push(entry(0));
        assert_eq!(
            queue.depth(),
            Depth {
                entries: 0,
                bytes: 0,
                dropped: 1,
                oldest: None,
            }
        );
    }
}
