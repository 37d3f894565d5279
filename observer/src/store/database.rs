//! One embedded database file: reads a path, produces it opened, or put aside once where it cannot be read.

use std::{
    cell::Cell,
    fs,
    io::{self, Read as _},
    panic,
    path::Path,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use redb::Database;

use super::{error::StoreError, overlay::Overlay};
use crate::terminal::say;

/// redb's page cache, bytes: its default of 1 GiB is for databases that are read.
const CACHE: usize = 1 << 20;

/// Bytes of redb's mark at the beginning of a file (`MAGICNUMBER` in its `page_store/header.rs`).
const MARK: usize = 9;
/// Bytes of a page, the least that redb makes its header.
const HEADER: usize = 4 << 10;

/// Opens the file, or makes it.
pub(crate) fn open(path: &Path) -> Result<Database, redb::Error> {
    let open = || Database::builder().set_cache_size(CACHE).create(path);
    match open() {
        Err(redb::DatabaseError::Storage(_)) if is_unmade(path) => {
            fs::remove_file(path)?;
            Ok(open()?)
        }
        opened => Ok(opened?),
    }
}

/// Whether the file's maker was killed, or ran out of disk, while it made it: redb writes one page (of at least
/// [`HEADER`] bytes) and then its mark at the beginning, before anything else.
fn is_unmade(path: &Path) -> bool {
    let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let read = || -> io::Result<bool> {
        let mut file = fs::File::open(path)?;
        let mut page = Vec::with_capacity(HEADER);
        file.by_ref().take(HEADER as u64).read_to_end(&mut page)?;
        let mut unmade = zeros(&page[..page.len().min(MARK)]);
        while unmade && page.len() == HEADER {
            page.clear();
            file.by_ref().take(HEADER as u64).read_to_end(&mut page)?;
            unmade = zeros(&page);
        }
        Ok(unmade)
    };
    read().unwrap_or(false)
}

/// Makes the store's directory.
pub(crate) fn make_directory(directory: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(directory).map_err(|error| StoreError::Directory {
        path: directory.to_owned(),
        error,
    })
}

/// What is made of a database. A damaged one must not end the agent, nor a thread of it, whatever its reader makes of it:
/// where that panics, it is damage.
pub(crate) fn guarded<T>(attempt: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // It is told as damage, in one line, to people who did not write the reader.
            if !GUARDED.get() {
                others(panic);
            }
        }));
    });
    GUARDED.set(true);
    let attempted = panic::catch_unwind(panic::AssertUnwindSafe(attempt));
    GUARDED.set(false);
    attempted.unwrap_or_else(|_| Err(redb::Error::Corrupted("its reader failed".into())))
}

thread_local! {
    /// A database is being read or written by this thread.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What was read of a database file.
#[derive(Debug)]
pub(crate) struct Opened<T> {
    /// What `attempt` made of it.
    pub(crate) read: T,
    /// Why it cannot be written now; its database is of no use beyond reading, and the file is to be opened again later.
    pub(crate) unwritable: Option<redb::Error>,
}

/// Opens a file and reads what `attempt` reads of it. A file that cannot be read is put aside as `*.damaged`, once,
/// and counted; a full disk is no damage to it.
pub(crate) fn open_or_put_aside<T>(
    path: &Path,
    damaged: &AtomicU64,
    attempt: impl Fn(Database) -> Result<T, redb::Error>,
) -> Result<Opened<T>, StoreError> {
    let open_error = |reason: String| StoreError::Open {
        path: path.to_owned(),
        reason,
    };
    let attempt = || match guarded(|| attempt(open(path)?)) {
        Err(error) if is_unwritable(&error) => guarded(|| attempt(open_unwritable(path)?)).map(|read| Opened {
            read,
            unwritable: Some(error),
        }),
        tried => tried.map(|read| Opened { read, unwritable: None }),
    };
    match attempt() {
        Ok(opened) => return Ok(opened),
        Err(redb::Error::DatabaseAlreadyOpen) => return Err(open_error("another observer uses it".into())),
        // What may not be read is not damaged: it waits for an agent that may.
        Err(redb::Error::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(open_error(error.to_string()));
        }
        Err(reason) => put_aside(path, damaged, &reason).map_err(|error| open_error(error.to_string()))?,
    }
    attempt().map_err(|error| open_error(error.to_string()))
}

/// Whether it is the disk that takes nothing more, for the time being.
pub(crate) fn is_unwritable(error: &redb::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error, redb::Error::Io(error) if [StorageFull, QuotaExceeded, ReadOnlyFilesystem].contains(&error.kind()))
}

/// Opens the file to be read, on a disk that takes nothing more.
fn open_unwritable(path: &Path) -> Result<Database, redb::Error> {
    let overlay = if is_unmade(path) {
        Overlay::empty()
    } else {
        Overlay::over(path)?
    };
    Ok(Database::builder().set_cache_size(CACHE).create_with_backend(overlay)?)
}

/// Closes a database that is given up, or opened anew. redb writes when it closes, and may meet damage only then.
pub(crate) fn close(database: Option<Database>) -> Result<(), redb::Error> {
    guarded(|| {
        drop(database);
        Ok(())
    })
}

/// Closes a database at the end. What that damage is to is repaired, which opening it does, or put aside: true where it was.
pub(crate) fn close_for_good(path: &Path, database: Option<Database>, damaged: &AtomicU64) -> bool {
    let Err(error) = close(database) else { return false };
    let repaired = guarded(|| open(path)).and_then(|database| close(Some(database)));
    repaired.is_err() && put_aside_if_damaged(path, damaged, &error)
}

/// Puts a file aside where what went wrong is damage to it, which no further attempt mends. True where it was.
pub(crate) fn put_aside_if_damaged(path: &Path, damaged: &AtomicU64, error: &redb::Error) -> bool {
    matches!(error, redb::Error::Corrupted(_)) && put_aside(path, damaged, error).is_ok()
}

fn put_aside(path: &Path, damaged: &AtomicU64, reason: &redb::Error) -> io::Result<()> {
    let aside = path.with_extension("redb.damaged");
    say(format_args!(
        "cannot read {} ({reason}); moved it to {}",
        path.display(),
        aside.display()
    ));
    damaged.fetch_add(1, Relaxed);
    fs::rename(path, &aside)
}

/// CRC-32 of the rest, then the rest.
pub(crate) fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What was sealed; `None` where its checksum does not fit.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, body) = bytes.split_first_chunk::<4>()?;
    (crc32fast::hash(body) == u32::from_le_bytes(*sum)).then_some(body)
}

#[cfg(test)]
mod tests {
    use redb::TableDefinition;

    use super::*;

    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

    fn write(path: &Path, from: u64) -> Result<Database, redb::Error> {
        let database = open(path)?;
        let write = database.begin_write()?;
        for nth in from..from + 40 {
            write.open_table(TABLE)?.insert(nth, [7; 200].as_slice())?;
        }
        write.commit()?;
        Ok(database)
    }

    #[test]
    fn damage_that_is_met_on_closing_is_no_panic_and_the_next_agent_finds_a_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some.redb");
        drop(write(&path, 0).unwrap());
        let whole = fs::read(&path).unwrap();
        let written: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
        let mut chance = fastrand::Rng::with_seed(1);
        let (mut met, damaged) = (0, AtomicU64::new(0));
        for round in 0..2_000 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                bytes[written[chance.usize(..written.len())]] ^= 1 << chance.u8(..8);
            }
            fs::write(&path, &bytes).unwrap();
            let Ok(database) = guarded(|| write(&path, 40)) else {
                continue;
            };
            if close(Some(database)).is_ok() {
                continue;
            }
            met += 1;
            fs::write(&path, &bytes).unwrap();
            close_for_good(&path, guarded(|| write(&path, 40)).ok(), &damaged);
            let next = guarded(|| write(&path, 80)).and_then(|database| close(Some(database)));
            assert!(next.is_ok(), "round {round}: {next:?}");
        }
        assert!(met > 0, "no damage was met on closing");
    }
}
