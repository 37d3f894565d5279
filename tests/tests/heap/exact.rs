//! Counts of a program with known contents, with heavy short-lived garbage of the same classes beside them.

use std::{fs, process::Command, thread::sleep, time::Duration};

use observer_heap::{Kind, Metadata, Reading, Refusal};

use observer_tests::{
    bundle::{APP, Spec},
    container::{Container, Restart},
    lines::Lines,
};

use super::*;
use crate::snapshot::Snapshot;

/// Objects of this name.
fn count(reading: &Reading, kind: Kind, names: &[&str]) -> u64 {
    reading
        .rows
        .iter()
        .filter(|row| row.kind == kind && names.contains(&row.what.as_str()))
        .map(|row| row.tally.count)
        .sum()
}

/// How far a count may be off.
const TOLERANCE: f64 = 0.01;
/// What one turn of the program makes of each class and holds until the turn ends.
const IN_FLIGHT: u64 = 2000;

#[track_caller]
fn near(who: &str, what: &str, counted: u64, truth: u64) {
    let off = counted.abs_diff(truth) as f64 / truth as f64;
    assert!(off <= TOLERANCE, "{who}: {what}: counted {counted}, in truth {truth}");
}

#[test]
fn counts_agree_with_the_process_s_own_snapshot() {
    need!(Root, Node);
    for (major, node) in nodes() {
        let who = format!("Node {major}");
        // Major collections as they come, and often: what was promoted and died is there for long, or moves about.
        let mut app = bare(&node, "known-contents.js");
        check(&who, &mut app);
        check(&format!("{who}, collecting"), &mut start(&node, "known-contents.js"));
    }
}

/// Compares readings with a snapshot taken afterwards.
fn check(who: &str, app: &mut App) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own.heapsnapshot");
    sleep(Duration::from_secs(1));
    let running = least(app.pid());
    app.tell("pause").unwrap();
    answered(&mut app.output, "paused");
    let reading = least(app.pid());
    app.tell(file.to_str().unwrap()).unwrap();
    answered(&mut app.output, "written");
    let truth = Snapshot::parse(&file);
    let close = |what: &str, kind, names: &[&str], node_type| {
        let truth = truth.count(node_type, names);
        // What the last turn made may be kept by a pointer that stands where nobody looks any more.
        let paused = count(&reading, kind, names);
        near(
            who,
            what,
            paused.saturating_sub(IN_FLIGHT).max(paused.min(truth)),
            truth,
        );
        let counted = count(&running, kind, names);
        assert!(
            counted as f64 >= truth as f64 * (1.0 - TOLERANCE)
                && counted as f64 <= truth as f64 * (1.0 + TOLERANCE) + IN_FLIGHT as f64,
            "{who}: {what}: counted {counted} while running, in truth {truth}"
        );
    };
    close("closures", Kind::Closure, &["onUserMessage"], "closure");
    close("Session", Kind::Object, &["Session"], "object");
    close("ArrayBuffer", Kind::Buffer, &["ArrayBuffer"], "object");
    close(
        "Buffers",
        Kind::Buffer,
        &["Buffer", "FastBuffer", "Uint8Array"],
        "object",
    );
    collections(who, &reading);
}

fn answered(output: &mut Lines, answer: &str) {
    output
        .wait(answer, app::READY, |line| line.contains(answer).then_some(()))
        .unwrap();
}

/// The least of some readings: what a thread that is at work holds for a moment is told from what the program holds.
fn least(pid: u32) -> Reading {
    let held = |reading: &Reading| reading.isolates.iter().map(|isolate| isolate.heap_bytes).sum::<u64>();
    let readings = (0..5).map(|_| {
        sleep(Duration::from_millis(190));
        read(pid)
    });
    readings
        .filter(|reading| !reading.disturbed)
        .min_by_key(held)
        .unwrap_or_else(|| read(pid))
}

/// The collections of known sizes, and where the program's function stands.
fn collections(who: &str, reading: &Reading) {
    let table = |what: &str| {
        reading
            .collections
            .iter()
            .filter(|c| c.what == what)
            .map(|c| c.elements)
            .max()
    };
    assert_eq!(table("(Map's table)"), Some(33333), "{who}: {:?}", reading.collections);
    assert_eq!(table("(Set's table)"), Some(4444), "{who}: {:?}", reading.collections);
    let held = reading
        .rows
        .iter()
        .find(|row| row.kind == Kind::Closure && row.what == "onUserMessage")
        .unwrap();
    assert!(held.file.is_some(), "{who}: {held:?}");
}

/// Compares a reading of the paused program with what it says it holds: for programs that cannot hand a snapshot out.
fn check_known(who: &str, pid: u32) {
    let reading = least(pid);
    near(
        who,
        "closures",
        count(&reading, Kind::Closure, &["onUserMessage"]),
        23456,
    );
    near(who, "Session", count(&reading, Kind::Object, &["Session"]), 12345);
    collections(who, &reading);
}

/// Few of a large heap's pages hold anything but the program's own objects: all that is to be learned stands in those.
#[test]
fn a_large_heap_s_only_map_is_counted() {
    need!(Root, Node);
    let node = places::node().unwrap();
    let mut command = Command::new(node);
    command.arg("--max-old-space-size=2048");
    command.arg(places::fixtures().join("large-heap.js")).arg("500");
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    let reading = least(app.pid());
    let sessions = count(&reading, Kind::Object, &["Session"]);
    assert!(sessions > 1_000_000, "{sessions}");
    let entries = reading.collections.iter().map(|c| c.elements).max();
    assert_eq!(entries, Some(sessions), "{:?}", reading.collections);
}

#[test]
fn a_process_in_a_container_is_read_from_the_host() {
    need!(Root, Runc, Node);
    let mut spec = Spec::fixture("heap-inside", Some(512 << 20), "heap/known-contents.js", &[]);
    spec.command.insert(1, "--expose-gc".to_owned());
    spec.command.insert(2, "-r".to_owned());
    spec.command.insert(3, format!("{APP}/heap/major.js"));
    let mut container = Container::ready(spec, Restart::Never).unwrap();
    let cgroup = container.cgroup();
    let inside = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&cgroup))
            && memory::metadata(*pid).is_ok()
    };
    let pid = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .find(inside)
        .unwrap();
    sleep(Duration::from_secs(1));
    container.tell("pause").unwrap();
    answered(&mut container.output, "paused");
    check_known("in a container", pid);
}

#[test]
fn a_single_executable_application_is_read() {
    need!(Root, NodeMajor(26));
    let node = places::cached_node(26).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let fixtures = places::fixtures().join("heap");
    // One script, as such applications are built: the collections' one in front.
    let source = ["major.js", "known-contents.js"].map(|name| fs::read_to_string(fixtures.join(name)).unwrap());
    fs::write(directory.path().join("main.js"), source.concat()).unwrap();
    let configuration = r#"{"main": "main.js", "output": "application", "execArgv": ["--expose-gc"], "disableExperimentalSEAWarning": true}"#;
    fs::write(directory.path().join("sea.json"), configuration).unwrap();
    let built = Command::new(node)
        .args(["--build-sea", "sea.json"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut app = App::start(&mut Command::new(directory.path().join("application"))).unwrap();
    app.ready().unwrap();
    sleep(Duration::from_secs(1));
    app.tell("pause").unwrap();
    answered(&mut app.output, "paused");
    check_known("a single-executable application", app.pid());
}

#[test]
fn a_distribution_s_libnode_is_read() {
    need!(Root, DebianNode);
    let root = places::debian_node();
    let node = root.join("usr/bin/node");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let fixtures = places::fixtures().join("heap");
    let mut command = Command::new(node);
    command.env("LD_LIBRARY_PATH", libraries);
    command
        .arg("--expose-gc")
        .arg("-r")
        .arg(fixtures.join("major.js"))
        .arg(fixtures.join("known-contents.js"));
    let mut app = App::start(&mut command).unwrap();
    app.output
        .wait("readiness", app::READY, |line| line.contains("\"ready\"").then_some(()))
        .unwrap();
    check("libnode", &mut app);
}

#[test]
fn a_version_that_publishes_less_is_discovered_or_refused_never_misread() {
    need!(Root, Node);
    for (major, node) in nodes() {
        let app = start(&node, "known-contents.js");
        let all = memory::metadata(app.pid()).unwrap();
        let live = LiveMemory::open(app.pid()).unwrap();
        let lost = |prefix: &'static str| all.clone().without(move |name| name.starts_with(prefix));
        let open = |metadata: &Metadata| memory::open(&live, metadata, None).map(|_| ());
        assert!(
            matches!(open(&lost("TaggedSize")), Err(Refusal::Unpublished(_))),
            "Node {major}"
        );
        assert!(
            matches!(open(&lost("class_Map__instance_type__")), Err(Refusal::Unpublished(_))),
            "Node {major}"
        );
        let moved = Metadata::from_values(all.values().map(|(name, value)| {
            // A layout that is wrong: maps would say their type four bytes further on.
            let wrong = name.starts_with("class_Map__instance_type__");
            (name.to_owned(), if wrong { value + 4 } else { value })
        }));
        assert!(open(&moved).is_err(), "Node {major} was read with a wrong layout");
        // Names that are lost are not replaced by others.
        let nameless = lost("class_SharedFunctionInfo__");
        let (_, reading) = read_with(&live, &nameless);
        let session = reading.rows.iter().find(|row| row.what == "Session");
        assert!(session.is_none(), "Node {major}: {session:?}");
    }
}
