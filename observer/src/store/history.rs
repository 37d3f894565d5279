//! The history: takes findings, ended runs and the engine's state, keeps them in an embedded database bounded in bytes,
//! gives them back to the next agent and to who asks.
//!
//! A file of its own beside the spool's: damage to what was leaves what is still to be delivered alone. One thread
//! writes; the loop hands over and never waits.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use observer_core::Engine;
use redb::{Database, ReadableDatabase};
use tokio::sync::oneshot;

use super::{
    HistoryCounts, Record, StoreError,
    database::{
        close, close_for_good, guarded, make_directory, open, open_or_put_aside, put_aside_if_damaged, seal, unseal,
    },
    rows::{RECORDS, Surveyed, newest, survey},
    state::{self, Aside, ENGINE, FOLLOWS, STATES},
};
use crate::terminal::say;

/// Time between two syncs: what a killed agent loses of its history at most.
const SYNC: Duration = Duration::from_secs(1);
/// Pause after a sync that failed: a full disk is not asked every second.
const PAUSE: Duration = Duration::from_secs(10);
/// Orders waiting for the thread at most.
const WAITING: usize = 1_024;
/// Records kept in memory while they cannot be written, at most.
const UNWRITTEN: usize = 4_096;

/// Its name in the store.
const FILE: &str = "history.redb";

enum Request {
    Keep(Vec<u8>),
    State(Vec<u8>),
    Read {
        workload: Option<String>,
        limit: usize,
        answer: oneshot::Sender<Vec<Record>>,
    },
    Stop,
}

/// A running history. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct History {
    requests: SyncSender<Request>,
    /// What it counts of itself.
    pub counts: Arc<HistoryCounts>,
}

/// The history's thread, to be ended.
#[derive(Debug)]
pub struct HistoryThread {
    thread: JoinHandle<()>,
    requests: SyncSender<Request>,
}

impl History {
    /// Opens the history in `directory`, keeping at most `capacity` bytes of records. Also what an earlier agent's
    /// engine knew, where it can be read.
    pub fn start(directory: &Path, capacity: u64) -> Result<(Self, HistoryThread, Option<Engine>), StoreError> {
        Self::start_with(directory, capacity, SYNC)
    }

    /// The same with another time between two syncs.
    pub fn start_with(
        directory: &Path,
        capacity: u64,
        sync: Duration,
    ) -> Result<(Self, HistoryThread, Option<Engine>), StoreError> {
        make_directory(directory)?;
        let path = directory.join(FILE);
        let counts = Arc::new(HistoryCounts::default());
        let opened = open_or_put_aside(&path, &counts.damaged, |database| survey(database, &counts))?;
        let Surveyed {
            database,
            next,
            state,
            told,
        } = opened.read;
        let (mut engine, aside) = state.map_or((None, None), |bytes| state::take_over(&bytes, &counts));
        if let Some(engine) = &mut engine {
            engine.told(told);
        }
        let (requests, receiver) = sync_channel(WAITING);
        let mut writer = Writer {
            path,
            database: Some(database),
            next,
            capacity,
            unwritten: VecDeque::new(),
            state: None,
            aside,
            counts: Arc::clone(&counts),
            failing: None,
            interval: sync,
        };
        if let Some(error) = &opened.unwritable {
            writer.failed(error);
        }
        let thread = thread::Builder::new()
            .name("history".into())
            .spawn(move || writer.run(&receiver))?;
        let ending = HistoryThread {
            thread,
            requests: requests.clone(),
        };
        Ok((Self { requests, counts }, ending, engine))
    }

    /// Keeps a record. Never waits.
    pub fn keep(&self, record: &Record) {
        // What the engine says can be written as JSON.
        if let Ok(json) = record.encode() {
            self.request(Request::Keep(json));
        }
    }

    /// Puts the engine's state away, in the place of the one before. Never waits.
    pub fn keep_state(&self, engine: &Engine) {
        if let Ok(bytes) = state::encode(engine) {
            self.counts.state_bytes.store(bytes.len() as u64, Relaxed);
            self.request(Request::State(bytes));
        }
    }

    /// The newest records, oldest first, at most `limit`: of one workload (see [`Record::concerns`]) or of all.
    pub async fn read(&self, workload: Option<String>, limit: usize) -> Vec<Record> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Read {
            workload,
            limit,
            answer,
        });
        answered.await.unwrap_or_default()
    }

    fn request(&self, request: Request) {
        if let Err(TrySendError::Full(_)) = self.requests.try_send(request) {
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }
}

impl HistoryThread {
    /// Syncs a last time, with all that was handed over before.
    pub fn finish(self) {
        // It may have failed; the join tells.
        let _ = self.requests.send(Request::Stop);
        if self.thread.join().is_err() {
            say("the history's thread failed: the last second may be lost");
        }
    }
}

/// Reads the history of an agent that is not running. See [`History::read`].
pub fn read(directory: &Path, workload: Option<&str>, limit: usize) -> Result<Vec<Record>, StoreError> {
    reading(directory, |database| {
        newest(database, workload, limit, &HistoryCounts::default())
    })
}

/// What the engine of an agent that is not running knew when it was put away last; `None` where none was.
pub fn engine(directory: &Path) -> Result<Option<Engine>, StoreError> {
    let last = |database: &Database| state::last(&database.begin_read()?.open_table(STATES)?);
    let Some(sealed) = reading(directory, last)? else {
        return Ok(None);
    };
    let failed = |reason: String| StoreError::Read {
        path: directory.join(FILE),
        reason,
    };
    let bytes = unseal(&sealed).ok_or_else(|| failed("the checksum of its state does not fit".into()))?;
    state::decode(bytes)
        .map(Some)
        .map_err(|error| failed(format!("its state cannot be used: {error}")))
}

/// Reads something of a history that no agent uses.
fn reading<T>(directory: &Path, attempt: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
    let path = directory.join(FILE);
    if !path.is_file() {
        return Err(StoreError::Absent {
            path: directory.to_owned(),
        });
    }
    guarded(|| attempt(&open(&path)?)).map_err(|error| StoreError::Read {
        path,
        reason: match error {
            redb::Error::DatabaseAlreadyOpen => "an agent uses it; ask that one, without --store".into(),
            error => error.to_string(),
        },
    })
}

struct Writer {
    path: PathBuf,
    /// `None` after a failure, until it could be opened again.
    database: Option<Database>,
    /// Number of the next record.
    next: u64,
    capacity: u64,
    unwritten: VecDeque<Vec<u8>>,
    /// The engine's state, and the number of the record that followed it.
    state: Option<(Vec<u8>, u64)>,
    /// A state of a newer layout, to be kept under a name of its own.
    aside: Option<Aside>,
    counts: Arc<HistoryCounts>,
    /// When writing began to fail, or failed last.
    failing: Option<Instant>,
    /// Time between two syncs.
    interval: Duration,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        let mut synced = Instant::now();
        loop {
            match requests.recv_timeout(self.interval.saturating_sub(synced.elapsed())) {
                Ok(Request::Keep(record)) => {
                    self.unwritten.push_back(record);
                    if self.unwritten.len() > UNWRITTEN {
                        self.unwritten.pop_front();
                        if let Some((_, follows)) = &mut self.state {
                            *follows = follows.saturating_sub(1).max(self.next);
                        }
                        self.counts.lost.fetch_add(1, Relaxed);
                    }
                }
                Ok(Request::State(state)) => {
                    let follows = self.next + self.unwritten.len() as u64;
                    self.state = Some((state, follows));
                }
                Ok(Request::Read {
                    workload,
                    limit,
                    answer,
                }) => {
                    self.try_sync();
                    // Who asked may have gone.
                    let _ = answer.send(self.read(workload.as_deref(), limit));
                }
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.try_sync();
                    close_for_good(&self.path, self.database.take(), &self.counts.damaged);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if synced.elapsed() >= self.interval {
                if self.failing.is_none_or(|since| since.elapsed() >= PAUSE) {
                    self.try_sync();
                }
                synced = Instant::now();
            }
        }
    }

    fn read(&self, workload: Option<&str>, limit: usize) -> Vec<Record> {
        let read = |database| guarded(|| newest(database, workload, limit, &self.counts));
        self.database
            .as_ref()
            .and_then(|database| read(database).ok())
            .unwrap_or_default()
    }

    fn try_sync(&mut self) {
        if self.unwritten.is_empty() && self.state.is_none() && self.aside.is_none() {
            return;
        }
        let mut synced = guarded(|| self.sync());
        if let Err(error) = &synced {
            let _ = close(self.database.take());
            if put_aside_if_damaged(&self.path, &self.counts.damaged, error) {
                self.counts.records.store(0, Relaxed);
                self.counts.bytes.store(0, Relaxed);
                synced = guarded(|| self.sync());
            }
        }
        match synced {
            Ok(()) => self.failing = None,
            Err(error) => self.failed(&error),
        }
    }

    /// It could not be written.
    fn failed(&mut self, error: &redb::Error) {
        self.counts.failed.fetch_add(1, Relaxed);
        if self.failing.replace(Instant::now()).is_none() {
            say(format_args!(
                "cannot write {} ({error}); the history of the last minutes stays in memory for now",
                self.path.display()
            ));
        }
        // After an I/O error redb refuses everything until the file is opened again.
        let _ = close(self.database.take());
    }

    fn sync(&mut self) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let counts = &self.counts;
        let write = database.begin_write()?;
        let (mut records, mut bytes) = (counts.records.load(Relaxed), counts.bytes.load(Relaxed));
        let (mut next, mut dropped) = (self.next, 0);
        {
            let mut table = write.open_table(RECORDS)?;
            for record in &self.unwritten {
                let sealed = seal(record);
                bytes += sealed.len() as u64;
                records += 1;
                table.insert(next, sealed.as_slice())?;
                next += 1;
            }
            while bytes > self.capacity {
                let Some((_, oldest)) = table.pop_first()? else { break };
                bytes = bytes.saturating_sub(oldest.value().len() as u64);
                records = records.saturating_sub(1);
                dropped += 1;
            }
            let mut states = write.open_table(STATES)?;
            if let Some(aside) = &self.aside {
                aside.put(&mut states)?;
            }
            if let Some((state, follows)) = &self.state {
                states.insert(ENGINE, seal(state).as_slice())?;
                states.insert(FOLLOWS, follows.to_le_bytes().as_slice())?;
            }
        }
        write.commit()?;
        counts.records.store(records, Relaxed);
        counts.bytes.store(bytes, Relaxed);
        counts.dropped.fetch_add(dropped, Relaxed);
        counts.written.store(next, Relaxed);
        self.next = next;
        self.unwritten.clear();
        self.aside = None;
        if self.state.take().is_some() {
            counts.states.fetch_add(1, Relaxed);
        }
        self.database = Some(database);
        Ok(())
    }
}
