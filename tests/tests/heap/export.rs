//! Heap snapshots written from outside: against the process's own of the same moment, and read by those who read V8's.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use observer_heap::{Sitting, Spools, Written};
use observer_tests::need::{self, Need};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::snapshot::Snapshot;

/// How far a count may be off.
const TOLERANCE: f64 = 0.01;
/// How far what a collection retains may be off: stale pointers outside the heap hold some of what it holds, too.
const STALE: f64 = 0.1;
/// Nodes of one name from which on it is compared: V8's own caches, which it empties before it writes, are smaller.
const MANY: u64 = 1000;

/// Writes a snapshot; what it is, and where.
pub(crate) fn export(
    sitting: &mut Sitting,
    pid: u32,
    directory: &TempDir,
    name: &str,
) -> (Written, std::path::PathBuf) {
    let path = directory.path().join(name);
    let metadata = memory::metadata(pid).unwrap();
    let live = LiveMemory::open(pid).unwrap();
    let mut reader = memory::open(&live, &metadata, None).unwrap();
    let spool = || tempfile::tempfile_in(directory.path()).unwrap();
    let spools = Spools {
        edges: spool(),
        strings: spool(),
        locations: spool(),
    };
    let written = sitting
        .write(&mut reader, &mut File::create(&path).unwrap(), spools)
        .unwrap();
    (written, path)
}

fn tell(app: &mut App, what: &str, answer: &str) {
    app.tell(what).unwrap();
    app.output
        .wait(answer, app::READY, |line| line.contains(answer).then_some(()))
        .unwrap();
}

/// Nodes of a JavaScript class, by what DevTools calls it.
fn classes(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let mut classes = BTreeMap::new();
    for node in &snapshot.nodes {
        // Functions without a name of their own are told by the one V8 infers for them.
        // Other native nodes are C++ objects of Node's, which tell V8 of themselves.
        if node.kind == "object"
            || node.name == "system / JSArrayBufferData"
            || node.kind == "closure" && !node.name.is_empty()
        {
            *classes.entry(format!("{} {}", node.kind, node.name)).or_default() += 1;
        }
        if matches!(
            node.kind.as_str(),
            "closure" | "concatenated string" | "sliced string" | "symbol"
        ) {
            *classes.entry(node.kind.clone()).or_default() += 1;
        }
    }
    classes
}

#[test]
fn a_snapshot_agrees_with_the_process_s_own() {
    need!(Root, Node);
    let full = need::missing(Need::Full).is_none();
    for (major, node) in nodes().into_iter().filter(|(major, _)| full || *major == 24) {
        let mut app = bare(&node, "known-contents.js");
        tell(&mut app, "pause", "paused");
        let directory = tempfile::tempdir().unwrap();
        let (written, path) = export(
            &mut Sitting::new(true, false),
            app.pid(),
            &directory,
            "ours.heapsnapshot",
        );
        let own = directory.path().join("own.heapsnapshot");
        tell(&mut app, own.to_str().unwrap(), "written");
        let (ours, own) = (Snapshot::parse(&path), Snapshot::parse(&own));
        println!("Node {major}: {written:?}");
        assert_eq!(ours.nodes.len() as u64, written.nodes, "Node {major}");
        let counted = classes(&ours);
        for (class, truth) in classes(&own).into_iter().filter(|(_, truth)| *truth >= MANY) {
            let counted = counted.get(&class).copied().unwrap_or(0);
            let off = counted.abs_diff(truth) as f64 / truth as f64;
            assert!(off <= TOLERANCE, "Node {major}: {class}: {counted}, in truth {truth}");
        }
        // The program's own strings, and the memory of its buffers.
        let texts = |snapshot: &Snapshot, begins: &str| {
            let is = |node: &&crate::snapshot::Node| node.kind == "string" && node.name.starts_with(begins);
            snapshot.nodes.iter().filter(is).count()
        };
        let (counted, truth) = (texts(&ours, "seen "), texts(&own, "seen "));
        assert!(
            counted.abs_diff(truth) as f64 <= truth as f64 * TOLERANCE,
            "Node {major}: {counted} strings, in truth {truth}"
        );
        let outside = |snapshot: &Snapshot| {
            let native = snapshot
                .nodes
                .iter()
                .filter(|node| node.name == "system / JSArrayBufferData");
            native.map(|node| node.bytes).sum::<u64>()
        };
        let (counted, truth) = (outside(&ours), outside(&own));
        assert!(
            counted.abs_diff(truth) as f64 <= truth as f64 * TOLERANCE,
            "Node {major}: {counted}, {truth}"
        );
        edges(&format!("Node {major}"), &ours, &own);
    }
}

/// Edges from the program's objects are called what V8 calls them, and what its collections retain is the same.
fn edges(who: &str, ours: &Snapshot, own: &Snapshot) {
    let named = |snapshot: &Snapshot, kind: &str, name: &str| {
        let mut counts = BTreeMap::<(String, String), u64>::new();
        for (index, node) in snapshot.nodes.iter().enumerate() {
            if node.kind == kind && node.name == name {
                let edges = snapshot.edges(index).iter();
                for edge in edges.filter(|edge| matches!(edge.kind.as_str(), "property" | "context" | "internal")) {
                    *counts.entry((edge.kind.clone(), edge.name.clone())).or_default() += 1;
                }
            }
        }
        counts.retain(|_, count| *count >= MANY);
        counts
    };
    for (kind, name) in [
        ("object", "Session"),
        ("closure", "onUserMessage"),
        ("object", "Buffer"),
    ] {
        let (counted, truth) = (named(ours, kind, name), named(own, kind, name));
        // V8 knows the names of a few fields that it does not publish.
        let known =
            |edge: &(String, String)| edge.0 != "internal" || matches!(edge.1.as_str(), "map" | "shared" | "context");
        for (edge, truth) in truth.iter().filter(|(edge, _)| known(edge)) {
            let counted = counted.get(edge).copied().unwrap_or(0);
            let off = counted.abs_diff(*truth) as f64 / *truth as f64;
            assert!(off <= TOLERANCE, "{who}: {name}: {edge:?}: {counted}, in truth {truth}");
        }
    }
    // All of it hangs at one object, whose collections retain the same.
    for property in ["sessions", "listeners", "cache", "seen", "buffers"] {
        let retained = |snapshot: &Snapshot| snapshot.retained(collection(snapshot, property));
        let (ours, own) = (retained(ours), retained(own));
        assert!(
            ours.abs_diff(own) as f64 <= own as f64 * STALE,
            "{who}: {property}: {ours}, in truth {own}"
        );
    }
}

/// One of the program's collections, which all hang at one object.
fn collection(snapshot: &Snapshot, name: &str) -> usize {
    let called = |node: usize, name: &str| {
        let edges = snapshot.edges(node).iter();
        let mut called = edges.filter(|edge| edge.kind == "property" && edge.name == name);
        called.next().map(|edge| edge.to)
    };
    let holds = |&node: &usize| called(node, "listeners").is_some() && called(node, "cache").is_some();
    let held = (0..snapshot.nodes.len()).find(holds).unwrap();
    called(held, name).unwrap()
}

#[test]
fn contents_of_strings_stay_in_the_process() {
    need!(Root, Node);
    let mut app = bare(&places::node().unwrap(), "known-contents.js");
    tell(&mut app, "pause", "paused");
    let directory = tempfile::tempdir().unwrap();
    let mut sitting = Sitting::new(false, false);
    let (_, path) = export(&mut sitting, app.pid(), &directory, "ours.heapsnapshot");
    let text = fs::read_to_string(path).unwrap();
    for secret in ["user 1234", "key 1234", "seen 1234"] {
        assert!(!text.contains(secret), "{secret}");
    }
    // The same text is told by the same words, another one by others: `seen 1` to `seen 999`, all different.
    assert!(text.contains("(string, 8 characters, #"));
    assert!(text.contains("\"sessions\""), "names from code are told");
}

#[test]
fn memlab_analyses_it() {
    need!(Root, Node, Npm("memlab", "@memlab/heap-analysis"));
    let mut app = bare(&places::node().unwrap(), "known-contents.js");
    tell(&mut app, "pause", "paused");
    let directory = tempfile::tempdir().unwrap();
    let (written, path) = export(
        &mut Sitting::new(false, false),
        app.pid(),
        &directory,
        "ours.heapsnapshot",
    );
    let ours = Snapshot::parse(&path);
    let library = places::npm_package("memlab", "@memlab/heap-analysis").unwrap();
    let output = Command::new(places::node().unwrap())
        .arg(places::fixtures().join("memlab.js"))
        .arg(library)
        .arg(&path)
        .arg("Set")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (said["nodes"].as_u64(), said["edges"].as_u64()),
        (Some(written.nodes), Some(written.edges))
    );
    assert_eq!(
        said["retained"][0].as_u64(),
        Some(ours.retained(collection(&ours, "seen")))
    );
}

#[test]
fn a_snapshot_is_its_owner_s_alone_and_whole() {
    need!(Root, Bpf, Node);
    let mut app = bare(&places::node().unwrap(), "known-contents.js");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("heap.heapsnapshot");
    let write = |pid: u32, file: &Path, more: &[&str]| {
        let mut command = Command::new(places::agent());
        command
            .args(["heap", &pid.to_string(), "--snapshot"])
            .arg(file)
            .args(more);
        command.output().unwrap()
    };
    let output = write(app.pid(), &file, &["--with-strings"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warning:"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Snapshot::parse(&file).count("object", &["Session"]) >= 12345);
    // Of a process that has ended nothing is left.
    app.kill();
    fs::remove_file(&file).unwrap();
    let output = write(app.pid(), &file, &[]);
    assert!(!output.status.success());
    let output = write(std::process::id(), &file, &[]);
    assert!(!output.status.success(), "this is no Node.js");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
