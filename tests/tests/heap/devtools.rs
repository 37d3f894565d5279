//! Heap snapshots read by Chrome DevTools' own code, as it comes with Chromium: loaded, and compared with one another.

use observer_heap::Sitting;
use observer_tests::browser::Browser;
use serde_json::{Value, json};

use super::*;
use crate::export::export;

/// DevTools' page, and the code of its worker for heap snapshots.
const PAGE: &str = "devtools://devtools/bundled/devtools_app.html";
const WORKER: &str = "devtools://devtools/bundled/entrypoints/heap_snapshot_worker/heap_snapshot_worker.js";
/// Characters handed over at once.
const PIECE: usize = 1 << 20;

/// Loads a snapshot; its nodes, and instances of a class.
fn load(browser: &mut Browser, file: &Path, class: &str) -> Value {
    let text = std::fs::read_to_string(file).unwrap();
    browser.evaluate("globalThis.pieces = []; 0").unwrap();
    for piece in text.as_bytes().chunks(PIECE) {
        // Outside of ASCII a piece could end within a character.
        let piece = json!(std::str::from_utf8(piece).unwrap());
        browser.evaluate(&format!("pieces.push({piece}); 0")).unwrap();
    }
    let load = r"(async () => {
        const worker = await import('WORKER');
        const { port1, port2 } = new MessageChannel();
        new worker.HeapSnapshot.SecondaryInitManager(port1);
        const loader = new worker.HeapSnapshotLoader.HeapSnapshotLoader({ sendEvent() {} });
        pieces.forEach((piece) => loader.write(piece));
        loader.close();
        const snapshot = await loader.buildSnapshot(port2);
        (globalThis.snapshots ??= []).push(snapshot);
        const classes = Object.values(snapshot.getAggregatesByClassKey(true, 'all'));
        const found = classes.find(({ name }) => name === 'CLASS');
        return { nodes: snapshot.nodeCount, count: found?.count, retained: found?.maxRet };
    })()";
    browser
        .evaluate(&load.replace("WORKER", WORKER).replace("CLASS", class))
        .unwrap()
}

/// What DevTools' comparison of the two snapshots says of a class: added and removed.
fn compared(browser: &mut Browser, class: &str) -> (u64, u64) {
    let compare = r"(() => {
        const before = snapshots[0].aggregatesForDiff('[]');
        const classes = Object.values(snapshots[1].calculateSnapshotDiff('before', before));
        const found = classes.find(({ name }) => name === 'CLASS');
        return [found?.addedCount ?? 0, found?.removedCount ?? 0];
    })()";
    let value = browser.evaluate(&compare.replace("CLASS", class)).unwrap();
    (value[0].as_u64().unwrap(), value[1].as_u64().unwrap())
}

#[test]
fn devtools_loads_and_compares_what_was_written_in_one_sitting() {
    need!(Root, Node, Chromium);
    let mut command = Command::new(places::node().unwrap());
    command.arg("--expose-gc");
    let mut app = started(command, "grows-when-told.js");
    let directory = tempfile::tempdir().unwrap();
    let mut sitting = Sitting::new(false, true);
    let mut browser = Browser::at(PAGE).unwrap();
    // The first are promoted; what comes then moves nothing old.
    for (told, orders) in [("collect up to 2000", 2000), ("up to 2500", 2500)] {
        app.tell(told).unwrap();
        let answer = format!("{orders} orders");
        app.output
            .wait(&answer, app::READY, |line| line.contains(&answer).then_some(()))
            .unwrap();
        let (written, file) = export(&mut sitting, app.pid(), &directory, &format!("{orders}.heapsnapshot"));
        let loaded = load(&mut browser, &file, "Order");
        assert_eq!(loaded["nodes"], written.nodes, "{loaded}");
        assert_eq!(loaded["count"], orders, "{loaded}");
        // Each holds an array of sixty words and more.
        assert!(loaded["retained"].as_u64().unwrap() >= orders * 480, "{loaded}");
    }
    let (added, removed) = compared(&mut browser, "Order");
    assert_eq!(added - removed, 500);
    assert!(removed <= 20, "{removed} of 2000 were not known again");
}
