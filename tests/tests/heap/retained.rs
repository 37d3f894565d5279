//! What the suspects of `observer heap --diff` retain, against the process's own snapshot of the same moment.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use observer_heap::{Growth, MOMENTS, Suspect};
use observer_tests::need::{self, Need};

use super::*;
use crate::snapshot::Snapshot;

/// Programs whose leak hangs at one collection with a name: maps, listeners, closures, strings, buffers; the rest take their time.
const PROGRAMS: [&str; 8] = [
    "map-without-eviction.js",
    "listener-per-connection.js",
    "strings-in-cache.js",
    "buffers-kept.js",
    "array-without-eviction.js",
    "class-instance-per-request.js",
    "series-per-label.js",
    "two-leaks.js",
];
const FEW: usize = 4;
/// How far a size may be off; and how far at most, where a stale pointer in C's memory leads to a part of what accumulates: of one in
/// twenty.
const TOLERANCE: f64 = 0.05;
const STALE: f64 = 0.1;
/// Share of the growth of a suspect that is looked at.
const LARGE: f64 = 0.2;
/// Times that what is followed at once is compared with what is followed in turn; and bytes that are enough for labels.
const TURNS: usize = 3;
const AMPLE: usize = 64 << 20;
/// In all, while the program runs.
const RUNNING: Duration = Duration::from_millis(2000);

/// The suspects of a program that runs, and is paused before the last reading: as each of these readers of it, or of `again`, tells
/// them.
fn suspects(app: &mut App, again: impl FnOnce(&mut dyn FnMut(usize) -> bool)) -> Vec<Vec<Suspect>> {
    sleep(RUNNING / 2);
    let metadata = memory::metadata(app.pid()).unwrap();
    let live = LiveMemory::open(app.pid()).unwrap();
    let began = Instant::now();
    let mut readings = Vec::new();
    let mut last = None;
    for moment in MOMENTS {
        sleep((began + RUNNING.mul_f64(moment)).saturating_duration_since(Instant::now()));
        if readings.len() + 1 == MOMENTS.len() {
            app.tell("pause").unwrap();
            app.output
                .wait("a pause", app::READY, |line| line.contains("paused").then_some(()))
                .unwrap();
        }
        let (reader, reading) = read_with(&live, &metadata);
        last = Some(reader);
        readings.push(reading);
    }
    let growth = Growth::over(&readings.iter().collect::<Vec<_>>());
    let mut told = Vec::new();
    let mut tell = |mut reader: Reader<'_>, last: &Reading| {
        let mut suspects = reader.suspects(&growth, (&readings[0], last), &mut |_| {}).unwrap();
        suspects.retain(|suspect| suspect.alone && suspect.share >= LARGE);
        told.push(suspects);
    };
    tell(last.unwrap(), &readings[readings.len() - 1]);
    again(&mut |marking| {
        let mut reader = memory::open(&live, &metadata, None).unwrap().with_marking(marking);
        let reading = reader.read(&mut |_, _| {}).unwrap();
        let marked = reader.is_marked();
        if marked {
            tell(reader, &reading);
        }
        marked
    });
    told
}

/// Where memory for marks is short, what holds growth is followed one after the other. What two hold in common counts to the first
/// either way.
#[test]
fn what_is_followed_at_once_retains_the_same_as_one_after_the_other() {
    need!(Root, Node);
    let node = places::cached_node(24).or_else(places::node).unwrap();
    let mut command = Command::new(node);
    command.arg("--expose-gc");
    let mut app = started(command, "shared-between-leaks.js");
    let told = suspects(&mut app, |marked_with| {
        // What the collection left behind in C's memory holds some of it until V8's threads are done: both ways are taken by turns.
        for _ in 0..TURNS {
            // The least that is enough for marks; labels would take as much again.
            let mut marking = 64 << 10;
            while !marked_with(marking) {
                marking = marking * 5 / 4;
            }
            sleep(RUNNING / 4);
            assert!(marked_with(AMPLE));
        }
    });
    let figures = |suspects: &[Suspect]| {
        let of = |s: &Suspect| (s.path.clone(), s.retained, s.new, s.grown);
        suspects.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(told.len(), 1 + 2 * TURNS);
    assert!(told.iter().all(|told| told.len() >= 2), "{told:#?}");
    let figures: Vec<_> = told.iter().map(|told| figures(told)).collect();
    let same = figures.windows(2).any(|next| next[0] == next[1]);
    assert!(same, "at once, in turn, and so on: {figures:#?}");
}

#[test]
fn suspects_retain_what_the_process_s_own_snapshot_says() {
    need!(Root, Node);
    let full = need::missing(Need::Full).is_none();
    let (mut all, mut wrong, mut far) = (0, Vec::new(), Vec::new());
    for (major, node) in nodes().into_iter().filter(|(major, _)| full || *major == 24) {
        for program in &PROGRAMS[..if full { PROGRAMS.len() } else { FEW }] {
            let mut command = Command::new(&node);
            command.arg("--expose-gc");
            for preloaded in ["major.js", "standstill.js"] {
                command.arg("-r").arg(places::fixtures().join("heap").join(preloaded));
            }
            let mut app = started(command, program);
            let suspects = suspects(&mut app, |_| {}).swap_remove(0);
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("own.heapsnapshot");
            app.tell(file.to_str().unwrap()).unwrap();
            app.output
                .wait("a snapshot", app::READY, |line| line.contains("written").then_some(()))
                .unwrap();
            let truth = Snapshot::parse(&file);
            if suspects.is_empty() {
                far.push(format!("Node {major} {program}: no suspect"));
            }
            for suspect in suspects {
                let truth: u64 = truth
                    .find(&suspect.path)
                    .into_iter()
                    .map(|node| truth.retained(node))
                    .sum();
                let off = suspect.retained.abs_diff(truth) as f64 / truth as f64;
                all += 1;
                let told = format!(
                    "Node {major} {program}: {} where the snapshot says {truth}: {:?}",
                    suspect.retained, suspect.path
                );
                if off.is_nan() || off > STALE {
                    far.push(told);
                } else if off > TOLERANCE {
                    wrong.push(told);
                }
            }
        }
    }
    assert!(far.is_empty(), "{far:#?}");
    assert!(wrong.len() * 20 <= all, "{wrong:#?} of {all}");
}
