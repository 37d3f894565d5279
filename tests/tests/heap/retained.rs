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
/// Times that what is followed at once is compared with what is followed in turn, at most; and bytes that are enough for labels.
const TURNS: usize = 40;
const AMPLE: usize = 64 << 20;
/// In all, while the program runs.
const RUNNING: Duration = Duration::from_millis(2000);

/// The suspects of a program that runs, and is paused before the last reading. `again` is given what tells them once more, with marks
/// of so many bytes; nothing where these are too few.
fn suspects(app: &mut App, again: impl FnOnce(&mut dyn FnMut(usize) -> Option<Vec<Suspect>>)) -> Vec<Suspect> {
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
    let tell = |mut reader: Reader<'_>, last: &Reading| {
        let mut suspects = reader.suspects(&growth, (&readings[0], last), &mut |_| {}).unwrap();
        suspects.retain(|suspect| suspect.alone && suspect.share >= LARGE);
        suspects
    };
    let told = tell(last.unwrap(), &readings[readings.len() - 1]);
    again(&mut |marking| {
        let mut reader = memory::open(&live, &metadata, None).unwrap().with_marking(marking);
        let reading = reader.read(&mut |_, _| {}).unwrap();
        reader.is_marked().then(|| tell(reader, &reading))
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
    let figures = |suspects: &[Suspect]| {
        let of = |s: &Suspect| (s.path.clone(), s.retained, s.new, s.grown);
        suspects.iter().map(of).collect::<Vec<_>>()
    };
    let mut told = Vec::new();
    suspects(&mut app, |marked_with| {
        // What the collection left behind in C's memory holds some of it until V8's threads are done, which on a busy machine takes many
        // readings: both ways are taken by turns until it is gone.
        for _ in 0..TURNS {
            // The least that is enough for marks; labels would take as much again.
            let mut marking = 64 << 10;
            let in_turn = loop {
                match marked_with(marking) {
                    Some(told) => break told,
                    None => marking = marking * 5 / 4,
                }
            };
            let at_once = marked_with(AMPLE).unwrap();
            told.extend([figures(&in_turn), figures(&at_once)]);
            if at_once.len() >= 2 && figures(&in_turn) == figures(&at_once) {
                break;
            }
            sleep(RUNNING / 4);
        }
    });
    let [.., in_turn, at_once] = &told[..] else {
        panic!("{told:#?}");
    };
    assert!(at_once.len() >= 2, "{told:#?}");
    assert_eq!(in_turn, at_once, "in turn, at once, and so on: {told:#?}");
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
            let suspects = suspects(&mut app, |_| {});
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
