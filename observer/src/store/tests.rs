//! Reads what the history wrote, whole and damaged, produces what survives.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use observer_core::{
    Engine, Finding, Input, What,
    finding::{Confidence, Event, Gap, OomKill, OomKiller, OomScope},
    time::{BootTime, WallTime},
};

use super::*;

fn record(nth: u64) -> Record {
    Record::Finding(Box::new(Finding {
        id: format!("{nth}"),
        at: BootTime(nth),
        wall: WallTime(nth),
        subject: None,
        event: Event::Gap(Gap {
            from: BootTime(0),
            to: BootTime(nth),
            reason: "test".into(),
            lost: 0,
            over_boot: None,
        }),
        confidence: Confidence::Observed,
        contradicted_by: String::new(),
    }))
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    engine.step(&Input {
        at: BootTime(7),
        what: What::Tick,
    });
    engine
}

/// A history in which these records were kept, and an engine.
fn left(directory: &Path, records: std::ops::Range<u64>, capacity: u64) -> Arc<HistoryCounts> {
    let (history, thread, _) = History::start(directory, capacity).unwrap();
    records.for_each(|nth| history.keep(&record(nth)));
    history.keep_state(&engine());
    thread.finish();
    history.counts
}

#[test]
fn what_was_kept_is_there_for_the_next_agent() {
    let directory = tempfile::tempdir().unwrap();
    left(directory.path(), 0..10, 1 << 20);
    let (_, thread, state) = History::start(directory.path(), 1 << 20).unwrap();
    thread.finish();
    assert_eq!(state, Some(engine()));
    let all = read(directory.path(), None, 100).unwrap();
    assert_eq!(all, (0..10).map(record).collect::<Vec<_>>());
    assert_eq!(read(directory.path(), Some("any"), 2).unwrap(), [record(8), record(9)]);
}

/// A kill that was said after the state was put away, or before it.
#[test]
fn the_next_agent_hears_what_was_said_after_its_state() {
    let kill = |id: &str| {
        let Record::Finding(mut finding) = record(1) else {
            panic!("a finding")
        };
        finding.id = id.to_owned();
        finding.event = Event::OomKill(OomKill {
            killer: OomKiller::Kernel,
            scope: OomScope::Container,
            cgroup: None,
            limit: None,
            usage: None,
            anon: None,
            file: None,
            shmem: None,
            pid: 7,
            comm: "node".into(),
            main_process: true,
            co_victims: 0,
        });
        Record::Finding(finding)
    };
    let directory = tempfile::tempdir().unwrap();
    let (history, thread, _) = History::start(directory.path(), 1 << 20).unwrap();
    history.keep(&kill("before"));
    history.keep_state(&engine());
    history.keep(&kill("after"));
    history.keep(&record(8));
    thread.finish();
    let (_, thread, state) = History::start(directory.path(), 1 << 20).unwrap();
    thread.finish();
    let mut expected = engine();
    expected.told(["after".to_owned()]);
    assert_eq!(state, Some(expected));
}

#[test]
fn it_is_bounded_in_bytes_and_counts_what_made_room() {
    let directory = tempfile::tempdir().unwrap();
    let counts = left(directory.path(), 0..900, 20_000);
    let (records, dropped) = (counts.records.load(Relaxed), counts.dropped.load(Relaxed));
    assert_eq!(records + dropped, 900);
    assert!(counts.bytes.load(Relaxed) <= 20_000 && records > 50, "{counts:?}");
    assert_eq!(read(directory.path(), None, 1).unwrap(), [record(899)]);
    // The count of bytes survives.
    assert!(left(directory.path(), 900..901, 20_000).bytes.load(Relaxed) <= 20_000);
}

/// Whatever bytes are changed, wherever the file is cut: it opens, nothing panics, what is read is what was written.
#[test]
fn damage_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    left(directory.path(), 0..200, 1 << 20);
    let path = directory.path().join("history.redb");
    let whole = fs::read(&path).unwrap();
    fastrand::seed(7);
    for round in 0..60 {
        let mut bytes = whole.clone();
        if round % 3 == 0 {
            bytes.truncate(fastrand::usize(..bytes.len()));
        } else {
            for _ in 0..1 << (round % 8) {
                let at = fastrand::usize(..bytes.len());
                bytes[at] ^= 1 << fastrand::u8(..8);
            }
        }
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(path.with_extension("redb.damaged"));
        let (history, thread, state) = History::start(directory.path(), 1 << 20).unwrap();
        assert!(state.is_none_or(|state| state == engine()));
        history.keep(&record(1_000));
        thread.finish();
        let mut records = read(directory.path(), None, 1_000).unwrap();
        assert_eq!(records.pop(), Some(record(1_000)));
        for found in records {
            let Record::Finding(finding) = &found else {
                panic!("{found:?}")
            };
            assert_eq!(found, record(finding.at.0));
        }
    }
}

#[test]
fn a_state_that_is_cut_or_of_a_newer_layout_is_refused() {
    let mut bytes = state::encode(&engine()).unwrap();
    assert_eq!(state::decode(&bytes).unwrap(), engine());
    bytes[0] += 1;
    assert!(matches!(
        state::decode(&bytes),
        Err(state::StateError::Layout(crate::layout::LayoutError::Newer { .. }))
    ));
    for end in 0..bytes.len() {
        assert!(state::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_downgrade_puts_the_newer_state_aside() {
    use redb::ReadableDatabase as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.redb");
    let states = redb::TableDefinition::<&'static str, &'static [u8]>::new("states");
    let mut newer = state::encode(&engine()).unwrap();
    newer[0] += 1;
    {
        let database = redb::Database::create(&path).unwrap();
        let write = database.begin_write().unwrap();
        let mut table = write.open_table(states).unwrap();
        table
            .insert("engine", super::database::seal(&newer).as_slice())
            .unwrap();
        drop(table);
        write.commit().unwrap();
    }
    for start in 1..=2 {
        let (history, thread, engine) = History::start(directory.path(), 1 << 20).unwrap();
        assert_eq!(engine, None, "start {start}");
        let foreign = history.counts.foreign.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(foreign, u64::from(start == 1), "reported once, at the first start");
        drop(history);
        thread.finish();
    }
    let database = redb::Database::open(&path).unwrap();
    let table = database.begin_read().unwrap().open_table(states).unwrap();
    let name = format!("engine-layout-{}", observer_core::recording::LAYOUT + 1);
    let kept = table.get(name.as_str()).unwrap().unwrap();
    assert_eq!(kept.value(), super::database::seal(&newer));
}

#[test]
fn records_without_a_layout_are_of_the_first() {
    let written = record(7);
    let bare = serde_json::to_vec(&written).unwrap();
    assert_eq!(Record::decode(&bare), Some(written.clone()));
    let stored = written.encode().unwrap();
    assert_eq!(Record::decode(&stored), Some(written));
    let newer = String::from_utf8(stored).unwrap().replacen(
        &format!("\"layout\":{}", observer_core::recording::LAYOUT),
        "\"layout\":4000",
        1,
    );
    assert_eq!(Record::decode(newer.as_bytes()), None);
}
