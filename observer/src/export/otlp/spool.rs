//! The spool: follows the delivery queues, writes what waits in them to disk, gives it back to the next agent.
//!
//! A queue is the working set and this its journal, written behind: at every sync one transaction adds what has come
//! and still waits, and removes what was delivered. An agent that is killed loses at most the last interval, and may
//! send again what it delivered within it, under the same ids. Every record carries a checksum of its own: redb
//! guards its pages against torn writes, not a record against a flipped bit.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::{batch::Entry, queue::Queue};
use crate::{
    store::{
        StoreError,
        database::{
            close, close_for_good, guarded, is_unwritable, make_directory, open, open_or_put_aside,
            put_aside_if_damaged, seal, unseal,
        },
    },
    terminal::say,
};

/// Time between two syncs: what a killed agent loses at most.
const SYNC: Duration = Duration::from_secs(1);
/// Syncs skipped after one that failed: a full disk is not asked every second.
const SKIPPED: u32 = 9;
/// What the spool counts of itself.
#[derive(Debug, Default)]
pub struct SpoolCounts {
    /// Records found by this agent that an earlier one left.
    pub restored: AtomicU64,
    /// Records that could not be read back and were skipped.
    pub damaged: AtomicU64,
    /// Syncs that failed.
    pub failed: AtomicU64,
    /// One past the last position of the first queue that is on disk.
    pub synced: AtomicU64,
}

/// A running spool.
#[derive(Debug)]
pub struct Spool {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
    /// What it counts of itself.
    pub counts: Arc<SpoolCounts>,
}

impl Spool {
    /// Opens the store in `directory`, puts what it holds into the queues (by table name), and follows them.
    pub fn start(directory: &Path, queues: &[(&'static str, Arc<Queue>)]) -> Result<Self, StoreError> {
        Self::start_with(directory, queues, SYNC)
    }

    /// The same with another time between two syncs.
    pub fn start_with(
        directory: &Path,
        queues: &[(&'static str, Arc<Queue>)],
        sync: Duration,
    ) -> Result<Self, StoreError> {
        make_directory(directory)?;
        let path = directory.join("spool.redb");
        let counts = Arc::new(SpoolCounts::default());
        let opened = open_or_put_aside(&path, &counts.damaged, |database| restore(database, queues, &counts))?;
        let (database, queues_on_disk) = opened.read;
        let restored = counts.restored.load(Relaxed);
        if restored > 0 {
            say(format_args!("delivering {restored} records that an earlier agent left"));
        }
        let damaged = counts.damaged.load(Relaxed);
        if damaged > 0 {
            say(format_args!("skipped {damaged} damaged records in {}", path.display()));
        }
        let (stop, stopping) = sync_channel(0);
        let mut journal = Journal {
            path,
            database: Some(database),
            queues_on_disk,
            counts: Arc::clone(&counts),
            failing: false,
            interval: sync,
        };
        if let Some(error) = &opened.unwritable {
            journal.failed(error);
        }
        let thread = thread::Builder::new()
            .name("spool".into())
            .spawn(move || journal.run(&stopping))?;
        Ok(Self { stop, thread, counts })
    }

    /// Syncs a last time, when everything else has ended.
    pub fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            say("the spool's thread failed: records that waited for delivery may be lost");
        }
    }
}

type Table = TableDefinition<'static, u64, &'static [u8]>;

/// One queue and what of it is on disk.
struct Journaled {
    table: Table,
    queue: Arc<Queue>,
    /// Positions on disk: from, and one past the last.
    stored: (u64, u64),
    /// Nothing on disk waits once the queue begins here: past `stored`, or past what an earlier agent left, which waits
    /// under new positions until it is written under them.
    waits_until: u64,
}

struct Journal {
    path: PathBuf,
    /// `None` after a failure, until it could be opened again.
    database: Option<Database>,
    queues_on_disk: Vec<Journaled>,
    counts: Arc<SpoolCounts>,
    failing: bool,
    /// Time between two syncs.
    interval: Duration,
}

impl Journal {
    fn run(mut self, stopping: &Receiver<()>) {
        let mut skip = 0;
        loop {
            let stop = stopping.recv_timeout(self.interval) == Err(RecvTimeoutError::Disconnected);
            if skip > 0 && !stop {
                skip -= 1;
                continue;
            }
            let mut synced = guarded(|| self.sync());
            if let Err(error) = &synced {
                // Everything that waits is in memory too: a new file takes it.
                let _ = close(self.database.take());
                if put_aside_if_damaged(&self.path, &self.counts.damaged, error) || self.makes_room(error) {
                    synced = guarded(|| self.sync());
                }
            }
            match synced {
                Ok(()) => self.failing = false,
                Err(error) => {
                    self.failed(&error);
                    skip = SKIPPED;
                }
            }
            if stop {
                return self.close();
            }
        }
    }

    /// Whether the disk is full and the file was removed to make room, which nothing in it waits for any more: even to
    /// delete, redb writes new pages first.
    fn makes_room(&mut self, error: &redb::Error) -> bool {
        let is_delivered = |journaled: &Journaled| journaled.queue.window().0 >= journaled.waits_until;
        let holds_some = self
            .queues_on_disk
            .iter()
            .any(|journaled| journaled.stored.1 > journaled.stored.0);
        let removed = is_unwritable(error)
            && holds_some
            && self.queues_on_disk.iter().all(is_delivered)
            && fs::remove_file(&self.path).is_ok();
        if removed {
            self.forget_stored();
        }
        removed
    }

    /// The file is a new one.
    fn forget_stored(&mut self) {
        for journaled in &mut self.queues_on_disk {
            journaled.stored = (0, 0);
        }
    }

    /// It could not be written.
    fn failed(&mut self, error: &redb::Error) {
        self.counts.failed.fetch_add(1, Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            say(format_args!(
                "cannot write {} ({error}); what waits for delivery stays in memory for now",
                self.path.display()
            ));
        }
        // After an I/O error redb refuses everything until the file is opened again.
        let _ = close(self.database.take());
    }

    /// A file that closing finds to be damaged is written anew.
    fn close(mut self) {
        if close_for_good(&self.path, self.database.take(), &self.counts.damaged) {
            self.forget_stored();
            if guarded(|| self.sync())
                .and_then(|()| close(self.database.take()))
                .is_err()
            {
                self.counts.failed.fetch_add(1, Relaxed);
            }
        }
    }

    fn sync(&mut self) -> Result<(), redb::Error> {
        if self
            .queues_on_disk
            .iter()
            .all(|journaled| journaled.queue.window() == journaled.stored)
        {
            return Ok(());
        }
        let database = if let Some(database) = self.database.take() {
            database
        } else {
            let database = open(&self.path)?;
            for journaled in &mut self.queues_on_disk {
                journaled.stored = stored(&database, journaled.table)?;
            }
            database
        };
        let write = database.begin_write()?;
        let mut after = Vec::with_capacity(self.queues_on_disk.len());
        for journaled in &self.queues_on_disk {
            let (from, to) = journaled.stored;
            let (first, entries) = journaled.queue.since(to);
            let mut table = write.open_table(journaled.table)?;
            table.retain_in(from..first.clamp(from, to), |_, _| false)?;
            let mut end = to.max(first);
            for entry in &entries {
                table.insert(end, encode(entry).as_slice())?;
                end += 1;
            }
            after.push((first, end));
        }
        write.commit()?;
        for (journaled, stored) in self.queues_on_disk.iter_mut().zip(after) {
            journaled.stored = stored;
            journaled.waits_until = stored.1;
        }
        if let Some(journaled) = self.queues_on_disk.first() {
            self.counts.synced.store(journaled.stored.1, Relaxed);
        }
        self.database = Some(database);
        Ok(())
    }
}

fn restore(
    database: Database,
    queues: &[(&'static str, Arc<Queue>)],
    counts: &SpoolCounts,
) -> Result<(Database, Vec<Journaled>), redb::Error> {
    let mut queues_on_disk = Vec::with_capacity(queues.len());
    for (name, queue) in queues {
        let table = Table::new(name);
        let stored = stored(&database, table)?;
        let mut entries = Vec::new();
        let read = database.begin_read()?;
        match read.open_table(table) {
            Ok(table) => {
                let mut rows = 0;
                for row in table.iter()? {
                    rows += 1;
                    match decode(row?.1.value()) {
                        Some(entry) => entries.push(entry),
                        None => drop(counts.damaged.fetch_add(1, Relaxed)),
                    }
                }
                // Positions have no gaps: what is missing between the first and the last was lost to damage.
                counts
                    .damaged
                    .fetch_add(stored.1.saturating_sub(stored.0).saturating_sub(rows), Relaxed);
            }
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        counts.restored.fetch_add(entries.len() as u64, Relaxed);
        // Under new positions, so that the next sync replaces the old ones whatever was skipped.
        let waits_until = stored.1 + entries.len() as u64;
        queue.restore(stored.1, entries);
        queues_on_disk.push(Journaled {
            table,
            queue: Arc::clone(queue),
            stored,
            waits_until,
        });
    }
    Ok((database, queues_on_disk))
}

/// Positions that a table holds.
fn stored(database: &Database, table: Table) -> Result<(u64, u64), redb::Error> {
    let table = match database.begin_read()?.open_table(table) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((0, 0)),
        Err(error) => return Err(error.into()),
    };
    if table.is_empty()? {
        return Ok((0, 0));
    }
    let first = table.first()?.map_or(0, |(key, _)| key.value());
    let last = table.last()?.map_or(0, |(key, _)| key.value());
    Ok((first, last.saturating_add(1)))
}

fn encode(entry: &Entry) -> Vec<u8> {
    seal(&entry.encode_to_vec())
}

fn decode(bytes: &[u8]) -> Option<Entry> {
    Entry::decode(unseal(bytes)?).ok()
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
