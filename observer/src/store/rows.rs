//! The history's rows: reads its database, produces what an agent goes on from, and the newest records.

use std::sync::atomic::Ordering::Relaxed;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    HistoryCounts, Record,
    database::unseal,
    state::{self, FOLLOWS, STATES},
};

/// Records by number, each sealed JSON.
pub(super) const RECORDS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("records");

/// What an agent finds at its start.
pub(super) struct Surveyed {
    pub(super) database: Database,
    /// Number of the next record.
    pub(super) next: u64,
    /// The engine's state, sealed.
    pub(super) state: Option<Vec<u8>>,
    /// Ids of what was said after that state.
    pub(super) told: Vec<String>,
}

/// Goes through all of a history.
pub(super) fn survey(database: Database, counts: &HistoryCounts) -> Result<Surveyed, redb::Error> {
    // Tables are made once, so that reading needs no case for their absence.
    let write = database.begin_write()?;
    write.open_table(RECORDS)?;
    write.open_table(STATES)?;
    write.commit()?;
    let read = database.begin_read()?;
    let states = read.open_table(STATES)?;
    let state = state::last(&states)?;
    let follows = states.get(FOLLOWS)?;
    let follows = follows.and_then(|number| Some(u64::from_le_bytes(number.value().try_into().ok()?)));
    let (mut next, mut records, mut bytes, mut told) = (0, 0, 0, Vec::new());
    for row in read.open_table(RECORDS)?.iter()? {
        let (number, record) = row?;
        if follows.is_some_and(|follows| number.value() >= follows) {
            told.extend(unseal(record.value()).and_then(Record::decode).and_then(Record::edge));
        }
        next = number.value().saturating_add(1);
        records += 1;
        bytes += record.value().len() as u64;
    }
    counts.records.store(records, Relaxed);
    counts.bytes.store(bytes, Relaxed);
    counts.written.store(next, Relaxed);
    drop(read);
    Ok(Surveyed {
        database,
        next,
        state,
        told,
    })
}

/// The newest records, oldest first. See [`super::History::read`].
pub(super) fn newest(
    database: &Database,
    workload: Option<&str>,
    limit: usize,
    counts: &HistoryCounts,
) -> Result<Vec<Record>, redb::Error> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let mut found = Vec::new();
    for row in table.iter()?.rev() {
        if found.len() >= limit {
            break;
        }
        let row = row?;
        let record = unseal(row.1.value()).and_then(Record::decode);
        match record {
            Some(record) if workload.is_none_or(|workload| record.concerns(workload)) => found.push(record),
            Some(_) => {}
            None => drop(counts.damaged.fetch_add(1, Relaxed)),
        }
    }
    found.reverse();
    Ok(found)
}
