//! Every layout there was is read forward: reads kept recordings of it, with an agent's restart in their middle, so that
//! they hold every kind of serialised type: Inputs, the engine's state, findings and ended runs.
//!
//! Before a change of layout nothing is to be done: `UPDATE_EXPECT=1 cargo test -p observer-tests --test recordings` writes
//! the recordings of a layout that has none yet, and never changes one that is there.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use observer::{
    record::{Recorder, Recording},
    store::Record,
};
use observer_core::{Engine, Input, What, recording::LAYOUT};
use observer_tests::places;

/// What a kept layout consists of: a recording that leaks and dies, and one that stays healthy.
const KEPT: [&str; 2] = ["listener", "lru"];

/// Where the recordings are.
pub(crate) fn recordings() -> PathBuf {
    places::workspace().join("tests").join("recordings")
}

fn file(layout: u32, name: &str) -> PathBuf {
    recordings().join("layouts").join(format!("{layout}-{name}.jsonl.gz"))
}

/// The history's records of a layout, a line of JSON each.
fn records_file(layout: u32) -> PathBuf {
    recordings().join("layouts").join(format!("{layout}-records.jsonl"))
}

fn inputs(file: &Path) -> Vec<Input> {
    let mut recording = Recording::open(file).unwrap();
    let inputs: Vec<Input> = recording.by_ref().collect();
    let damage = recording.damage();
    assert!(damage.lines == 0 && !damage.torn, "{}: {damage:?}", file.display());
    inputs
}

/// The recording `name` as an agent would have written it that took over after three fifths of it: its beginning, the
/// state that the first agent stored, and the rest.
fn interrupted(name: &str) -> Vec<Input> {
    let mut inputs = inputs(&recordings().join(format!("{name}.jsonl.gz")));
    // Read forward, they are of today's layout.
    if let What::Begin(begin) = &mut inputs[0].what {
        begin.format = LAYOUT;
    }
    let rest = inputs.split_off(inputs.len() * 3 / 5);
    let mut engine = Engine::new();
    for input in &inputs {
        engine.step(input);
    }
    let restore = Input {
        at: rest[0].at,
        what: What::Restore(Box::new(engine)),
    };
    inputs.into_iter().take(1).chain([restore]).chain(rest).collect()
}

/// What the history holds after these Inputs.
fn records(inputs: &[Input]) -> Vec<Record> {
    let mut engine = Engine::new();
    let mut records = Vec::new();
    for input in inputs {
        let output = engine.step(input);
        let findings = output.findings.into_iter().map(Box::new).map(Record::Finding);
        let runs = output.ended.into_iter().map(Box::new).map(Record::Run);
        records.extend(findings.chain(runs));
    }
    records
}

/// What a record is about, whatever its wording and figures.
fn gist(record: &Record) -> String {
    match record {
        Record::Finding(finding) => {
            let subject = finding.subject.as_ref().map(|subject| subject.service());
            format!("{} {subject:?}", finding.event.kind())
        }
        Record::Run(run) => format!("run {}", run.subject.service()),
    }
}

/// Writes the recordings of today's layout where it has none.
fn keep() {
    if records_file(LAYOUT).exists() || env::var_os("UPDATE_EXPECT").is_none() {
        return;
    }
    fs::create_dir_all(recordings().join("layouts")).unwrap();
    for name in KEPT {
        let mut recorder = Recorder::create(&file(LAYOUT, name)).unwrap();
        interrupted(name)
            .iter()
            .for_each(|input| recorder.write(input).unwrap());
        recorder.finish().unwrap();
    }
    let mut kept = Vec::new();
    let mut gists = BTreeSet::new();
    for entry in fs::read_dir(recordings()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        // One of each kind and recording is enough.
        for record in records(&inputs(&path))
            .iter()
            .filter(|record| gists.insert(gist(record)))
        {
            kept.extend(record.encode().unwrap());
            kept.push(b'\n');
        }
    }
    fs::write(records_file(LAYOUT), kept).unwrap();
}

#[test]
fn recordings_states_and_records_of_every_layout_are_read_forward() {
    keep();
    for layout in 1..=LAYOUT {
        for name in KEPT {
            let gists = |inputs: &[Input]| records(inputs).iter().map(gist).collect::<Vec<_>>();
            let found = gists(&inputs(&file(layout, name)));
            assert!(!found.is_empty(), "{name}: at least the gap is reported");
            let today = gists(&interrupted(name));
            assert_eq!(
                found, today,
                "layout {layout}, {name}: the state lost something on its way"
            );
        }
        let text = fs::read_to_string(records_file(layout)).unwrap();
        let unread: Vec<&str> = text
            .lines()
            .filter(|line| Record::decode(line.as_bytes()).is_none())
            .collect();
        assert!(unread.is_empty() && !text.is_empty(), "layout {layout}: {unread:?}");
    }
}
