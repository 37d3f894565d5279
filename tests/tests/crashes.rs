//! The store when its process is killed or its disk is full: what was synced is there, whole and in order, and nothing
//! ends for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use observer::{
    export::otlp::{Entry, Queue, Spool},
    store::{History, Record},
};
use observer_core::{Engine, Input, What, time::BootTime};
use observer_tests::{
    agent::{Agent, DEADLINE},
    findings::finding,
    need,
};

const ROLE: &str = "OBSERVER_TEST_ROLE";
const STORE: &str = "OBSERVER_TEST_STORE";
/// Time between two syncs in these tests.
const SYNC: Duration = Duration::from_millis(10);

/// This test program again, as the process that is killed or runs out of disk.
fn again(role: &str, store: &Path, wrapper: &[&str]) -> Command {
    let this = env::current_exe().unwrap();
    let mut words: Vec<&std::ffi::OsStr> = wrapper.iter().map(|word| std::ffi::OsStr::new(*word)).collect();
    words.push(this.as_os_str());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["--exact", "the_process_that_suffers", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(STORE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Does nothing unless started by a test here.
#[test]
fn the_process_that_suffers() {
    let (Ok(role), Some(store)) = (env::var(ROLE), env::var_os(STORE)) else {
        return;
    };
    match role.as_str() {
        "killed" => writes_until_killed(Path::new(&store)),
        "filled" => keeps_until_killed(Path::new(&store)),
        "fills" => fills_and_kills(Path::new(&store)),
        _ => writes_to_a_small_disk(Path::new(&store)),
    }
}

fn entry(nth: u64, size: usize) -> Entry {
    Entry {
        id: format!("{nth:09}"),
        resource: Bytes::from_static(b"resource"),
        record: Bytes::from(vec![nth as u8; size]),
        made: 1,
    }
}

fn record(nth: u64) -> Record {
    Record::Finding(Box::new(finding("cart", nth)))
}

fn spool(directory: &Path, bytes: usize) -> (Spool, Arc<Queue>) {
    let queue = Arc::new(Queue::with_capacity(bytes));
    let spool = Spool::start_with(directory, &[("logs", Arc::clone(&queue))], SYNC).unwrap();
    (spool, queue)
}

fn ids(queue: &Queue) -> Vec<u64> {
    let batch = queue.batch(usize::MAX, usize::MAX);
    let entries = batch.map_or_else(Vec::new, |batch| batch.entries);
    entries.iter().map(|entry| entry.id.parse().unwrap()).collect()
}

/// Says a line that the parent has once it reads it, whatever becomes of this process.
fn tell(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn writes_until_killed(directory: &Path) {
    let (spool, queue) = spool(directory, 4 << 20);
    let (history, _thread, _) = History::start_with(directory, 1 << 20, SYNC).unwrap();
    let first = ids(&queue).last().map_or(0, |last| last + 1);
    tell(format_args!("started"));
    let mut told = (0, 0);
    for nth in first.. {
        queue.push(entry(nth, 200));
        history.keep(&record(nth));
        let synced = (spool.counts.synced.load(Relaxed), history.counts.written.load(Relaxed));
        if synced != told {
            told = synced;
            tell(format_args!("synced {} {}", synced.0, synced.1));
        }
        if nth % 16 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Killed at a hundred moments under load: what was synced is there, whole and in order, and the store opens.
#[test]
fn a_hundred_kills_lose_no_more_than_what_was_not_synced() {
    let directory = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..100 {
        let mut child = again("killed", directory.path(), &[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines
            .find(|line| line.as_ref().is_ok_and(|line| line.contains("started")))
            .unwrap()
            .unwrap();
        // The moment is random; nothing depends on what it hits.
        std::thread::sleep(Duration::from_micros(fastrand::u64(..30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines
            .map_while(Result::ok)
            .filter(|line| line.starts_with("synced"))
            .last();
        let (synced, written) = last.map_or((0, 0), |line| {
            let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap());
            (words.next().unwrap(), words.next().unwrap())
        });

        let (spool, queue) = spool(directory.path(), 4 << 20);
        assert_eq!(spool.counts.damaged.load(Relaxed), 0, "round {round}");
        let kept = ids(&queue);
        assert!(
            kept.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "round {round}: a hole"
        );
        let end = queue.window().1;
        assert!(end >= synced, "round {round}: {synced} were synced, {end} are there");
        spool.finish();
        let (history, thread, _) = History::start_with(directory.path(), 1 << 20, SYNC).unwrap();
        let counts = Arc::clone(&history.counts);
        thread.finish();
        let there = counts.written.load(Relaxed);
        assert!(
            there >= written,
            "round {round}: {written} were written, {there} are there"
        );
        assert_eq!(counts.damaged.load(Relaxed), 0, "round {round}");
        total = end;
    }
    assert!(total > 0, "no round wrote anything");
}

/// The agent on a store with flipped bits or cut off: it starts, says so, and what it has to keep is kept.
#[test]
fn the_agent_starts_on_a_damaged_store_and_goes_on() {
    need!(Root);
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let [dead] = observer_tests::ports::free_ports().unwrap();
    let endpoint = format!("http://127.0.0.1:{dead}");
    let path = store.display().to_string();
    let flags = [
        "--hooks",
        "off",
        "--store",
        &path,
        "--otlp-endpoint",
        &endpoint,
        "--stop-timeout",
        "0s",
    ];
    // From the second on, each has something to keep: the gap between them.
    for _ in 0..5 {
        Agent::start(&flags).unwrap().stop().unwrap();
    }
    let files = ["spool.redb", "history.redb"].map(|name| store.join(name));
    let whole = files.clone().map(|file| std::fs::read(file).unwrap());
    for round in 0..6 {
        for (file, bytes) in files.iter().zip(&whole) {
            let mut bytes = bytes.clone();
            if round % 3 == 0 {
                bytes.truncate(fastrand::usize(1..bytes.len()));
            } else {
                let written: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
                for _ in 0..1 << (round % 5) {
                    bytes[written[fastrand::usize(..written.len())]] ^= 1 << fastrand::u8(..8);
                }
            }
            std::fs::write(file, bytes).unwrap();
        }
        let stopped = Agent::start(&flags).unwrap().stop().unwrap();
        let said = stopped.messages.join("\n");
        assert_eq!(stopped.code, 0, "round {round}: {said}");
        assert!(!said.contains("panicked"), "round {round}: {said}");
        // A store that was put aside is a new one; either way the next agent finds it whole.
        let next = Agent::start(&flags).unwrap().stop().unwrap();
        let said = next.messages.join("\n");
        assert!(
            !said.contains("cannot be read") && !said.contains("are damaged"),
            "round {round}: {said}"
        );
        for file in &files {
            let _ = std::fs::remove_file(file.with_extension("redb.damaged"));
        }
    }
}

/// What this program says in a role, on a disk of 6 MiB.
fn on_a_small_disk(role: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    // In a mount namespace of its own: nobody else sees it, and it goes with the process.
    let mount = format!(
        "mount -t tmpfs -o size=6m none '{}' && exec \"$0\" \"$@\"",
        directory.path().display()
    );
    let wrapper = ["unshare", "--mount", "sh", "-c", &mount];
    let mut command = again(role, directory.path(), &wrapper);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}");
    said
}

fn writes_to_a_small_disk(directory: &Path) {
    let (spool, queue) = spool(directory, 64 << 20);
    let (history, thread, _) = History::start_with(directory, 64 << 20, SYNC).unwrap();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + DEADLINE;
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(SYNC);
        }
    };
    let keep = |nth| {
        queue.push(entry(nth, 4_000));
        history.keep(&record(nth));
    };
    // Some of it is on the disk before somebody else fills that to its last byte: nobody but the spool can make room.
    (0..500).for_each(keep);
    let before = spool.counts.synced.load(Relaxed);
    until("a sync before the disk is full", &|| {
        spool.counts.synced.load(Relaxed) > before
    });
    let mut others = std::fs::File::create(directory.join("others")).unwrap();
    while others.write_all(&[1; 512]).is_ok() {}
    (500..4_000).for_each(keep);
    until("the disk is full", &|| spool.counts.failed.load(Relaxed) > 0);
    tell(format_args!("full {}", queue.depth().entries));
    // It ends as it always does, and leaves what comes free to the spool.
    thread.finish();
    while others.write_all(&[1; 512]).is_ok() {}
    // The receiver is back: what is delivered makes room, and syncs go on.
    if let Some(batch) = queue.batch(3_990, usize::MAX) {
        queue.acknowledge(&batch, 3_990);
    }
    let before = spool.counts.synced.load(Relaxed);
    queue.push(entry(4_000, 100));
    until("a sync after the disk had been full", &|| {
        spool.counts.synced.load(Relaxed) > before
    });
    spool.finish();
    tell(format_args!("left {}", ids(&queue).len()));
}

#[test]
fn a_full_disk_ends_nothing_and_syncs_go_on_when_there_is_room() {
    need!(Root, Program("unshare"), Program("mount"));
    let said = on_a_small_disk("disk");
    assert!(
        said.contains("full 4000"),
        "all of it waits in memory meanwhile: {said}"
    );
    assert!(said.contains("left 11"), "{said}");
}

/// An engine that tells by its clock how far it came.
fn engine(nth: u64) -> Engine {
    let mut engine = Engine::new();
    engine.step(&Input {
        at: BootTime(nth),
        what: What::Tick,
    });
    engine
}

/// Goes on from the state it finds, and says how far the state on disk is and how many entries of the queue are there.
fn keeps_until_killed(directory: &Path) {
    let (spool, queue) = spool(directory, 4 << 20);
    let (history, _thread, resumed) = History::start_with(directory, 1 << 20, SYNC).unwrap();
    let first = resumed.map_or(0, |engine| engine.now().0);
    let restored = spool.counts.restored.load(Relaxed);
    tell(format_args!("kept {first} {restored}"));
    let (from, counts) = (queue.window().0, &history.counts);
    for nth in first + 1.. {
        let (states, failed) = (counts.states.load(Relaxed), counts.failed.load(Relaxed));
        queue.push(entry(nth, 200));
        history.keep(&record(nth));
        history.keep_state(&engine(nth));
        while counts.states.load(Relaxed) == states && counts.failed.load(Relaxed) == failed {
            std::thread::sleep(SYNC / 20);
        }
        if counts.states.load(Relaxed) > states {
            let entries = spool.counts.synced.load(Relaxed).saturating_sub(from);
            tell(format_args!("kept {nth} {}", entries.max(restored)));
        } else {
            tell(format_args!("failed"));
        }
    }
}

/// Fills and empties the disk and kills the writer, at any moment: what was put away is there for the next one.
fn fills_and_kills(disk: &Path) {
    let (store, ballast) = (disk.join("store"), disk.join("ballast"));
    // It ends where the disk does.
    let fill = || assert!(std::fs::write(&ballast, vec![1; 16 << 20]).is_err());
    let (mut kept, mut on_full, mut failed) = ((0, 0), 0, false);
    for round in 0..60 {
        // What an agent finds at its start.
        let full = fastrand::bool();
        if full {
            fill();
            on_full += 1;
        } else {
            let _ = std::fs::remove_file(&ballast);
        }
        let mut child = again("filled", &store, &[]).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok).filter_map(|line| {
            let of = |line: &str| {
                line.split(' ')
                    .filter_map(|word| word.parse().ok())
                    .collect::<Vec<u64>>()
            };
            match line.rsplit_once("kept ") {
                Some((_, numbers)) => Some(of(numbers)),
                None => (line == "failed").then(Vec::new),
            }
        });
        let found = lines.next().unwrap();
        assert!(
            found[0] >= kept.0 && found[1] >= kept.1,
            "round {round}, disk full: {full}: {found:?} is there of {kept:?}"
        );
        let mut saw = |line: &[u64]| match line {
            [state, entries] => kept = (*state, *entries),
            _ => failed = true,
        };
        saw(&found);
        for _ in 0..fastrand::u32(0..4) {
            let line = lines.next().unwrap();
            saw(&line);
            // The next attempt comes in some seconds.
            if line.is_empty() {
                break;
            }
        }
        if !full && fastrand::bool() {
            fill();
        }
        // The moment is random; nothing depends on what it hits.
        std::thread::sleep(Duration::from_micros(fastrand::u64(..20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(|line| saw(&line));
        let there: Vec<_> = std::fs::read_dir(&store)
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert!(
            there.iter().all(|name| !name.to_string_lossy().contains("damaged")),
            "round {round}: {there:?}"
        );
    }
    tell(format_args!(
        "{on_full} starts on a full disk, {} states, a write refused: {failed}",
        kept.0
    ));
    assert!(on_full > 0 && kept.0 > 0 && failed);
}

/// An agent on a node whose disk is full may be killed for it, and starts on that disk: it goes on from what is there, so
/// that no run is numbered or told anew.
#[test]
fn what_was_put_away_survives_a_full_disk_and_kills_at_any_moment() {
    need!(Root, Program("unshare"), Program("mount"));
    on_a_small_disk("fills");
}
