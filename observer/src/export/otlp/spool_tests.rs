//! Reads what the spool wrote, whole and damaged, produces what survives.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;

use super::*;

fn entry(nth: usize) -> Entry {
    Entry {
        id: format!("finding-{nth:05}"),
        resource: Bytes::from_static(b"resource"),
        record: Bytes::from(vec![nth as u8; 200]),
        made: 1,
    }
}

fn start(directory: &Path) -> (Spool, Arc<Queue>) {
    let queue = Arc::new(Queue::with_capacity(1 << 20));
    let spool = Spool::start(directory, &[("logs", Arc::clone(&queue))]).unwrap();
    (spool, queue)
}

fn ids(queue: &Queue) -> Vec<String> {
    queue.batch(usize::MAX, usize::MAX).map_or_else(Vec::new, |batch| {
        batch.entries.into_iter().map(|entry| entry.id).collect()
    })
}

/// A store in which `count` entries were left.
fn left(directory: &Path, count: usize) {
    let (spool, queue) = start(directory);
    (0..count).for_each(|nth| queue.push(entry(nth)));
    spool.finish();
}

#[test]
fn what_waits_is_there_for_the_next_agent_and_what_was_delivered_is_not() {
    let directory = tempfile::tempdir().unwrap();
    left(directory.path(), 10);
    let (spool, queue) = start(directory.path());
    assert_eq!(ids(&queue).len(), 10);
    let batch = queue.batch(4, usize::MAX).unwrap();
    queue.acknowledge(&batch, 4);
    queue.push(entry(10));
    spool.finish();
    let (spool, queue) = start(directory.path());
    let expected: Vec<String> = (4..11).map(|nth| entry(nth).id).collect();
    assert_eq!(ids(&queue), expected);
    assert_eq!(queue.batch(1, 1).unwrap().entries, [entry(4)]);
    let batch = queue.batch(7, usize::MAX).unwrap();
    queue.acknowledge(&batch, 7);
    spool.finish();
    let (_spool, queue) = start(directory.path());
    assert!(ids(&queue).is_empty());
}

#[test]
fn the_bound_holds_across_agents() {
    let directory = tempfile::tempdir().unwrap();
    left(directory.path(), 100);
    let queue = Arc::new(Queue::with_capacity(2_210));
    let spool = Spool::start(directory.path(), &[("logs", Arc::clone(&queue))]).unwrap();
    assert_eq!(ids(&queue).len(), 10);
    assert_eq!(queue.depth().dropped, 90);
    spool.finish();
    let (_spool, queue) = start(directory.path());
    assert_eq!(ids(&queue)[0], entry(90).id);
}

#[test]
fn a_second_agent_on_one_store_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, queue) = start(directory.path());
    let error = Spool::start(directory.path(), &[("logs", Arc::new(Queue::default()))]).unwrap_err();
    assert!(error.to_string().contains("another observer uses it"), "{error}");
    queue.push(entry(1));
    spool.finish();
    let (_spool, queue) = start(directory.path());
    assert_eq!(ids(&queue), [entry(1).id]);
}

/// Every entry found is one that was written, in order, and what is missing is counted.
fn found_or_counted(directory: &Path, written: usize) {
    let (spool, queue) = start(directory);
    let found = ids(&queue);
    let all: Vec<String> = (0..written).map(|nth| entry(nth).id).collect();
    assert!(found.iter().all(|id| all.contains(id)), "{found:?}");
    assert!(found.is_sorted());
    let intact = queue.batch(usize::MAX, usize::MAX).is_none_or(|batch| {
        batch
            .entries
            .iter()
            .all(|found| (0..written).any(|nth| entry(nth) == *found))
    });
    assert!(intact, "a damaged record was taken for a whole one");
    let damaged = spool.counts.damaged.load(std::sync::atomic::Ordering::Relaxed);
    assert!(
        found.len() == written || damaged > 0,
        "{} of {written} found, none counted",
        found.len()
    );
    // Damage that shows only when the file is written ends nothing either: what comes after it is there for the next agent.
    queue.push(entry(written));
    spool.finish();
    let (spool, queue) = start(directory);
    assert!(
        ids(&queue).contains(&entry(written).id),
        "what came after the damage is lost"
    );
    spool.finish();
}

#[test]
fn flipped_bits_are_counted_and_never_end_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    left(directory.path(), 50);
    let file = directory.path().join("spool.redb");
    let whole = fs::read(&file).unwrap();
    for nth in 0..150 {
        let mut bytes = whole.clone();
        // Half of them where the records are, half anywhere.
        let at = if nth % 2 == 0 {
            let records: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
            records[fastrand::usize(..records.len())]
        } else {
            fastrand::usize(..bytes.len())
        };
        bytes[at] ^= 1 << fastrand::u32(..8);
        fs::write(&file, &bytes).unwrap();
        found_or_counted(directory.path(), 50);
        let _ = fs::remove_file(file.with_extension("redb.damaged"));
    }
}

#[test]
fn a_torn_file_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    left(directory.path(), 50);
    let file = directory.path().join("spool.redb");
    let whole = fs::read(&file).unwrap();
    for part in 1..12 {
        fs::write(&file, &whole[..whole.len() * part / 12]).unwrap();
        found_or_counted(directory.path(), 50);
        let _ = fs::remove_file(file.with_extension("redb.damaged"));
    }
}
