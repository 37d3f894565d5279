//! What grows outside the heap is told by the pages that are in memory, not by those that V8 has.

use serde_json::Value;

use super::*;

/// Growth of a process from which on something is said of what the heap does not explain.
const WORTH_SAYING: u64 = 4 << 20;

#[test]
fn young_pages_that_come_to_be_used_are_not_outside_the_heap() {
    need!(Root, Node);
    for (major, node) in some_nodes() {
        let mut command = Command::new(&node);
        command.args(["--min-semi-space-size=32", "--max-semi-space-size=64"]);
        let app = started(command, "young-pages-come-to-be-used.js");
        let output = Command::new(places::agent())
            .args(["heap", &app.pid().to_string(), "--diff", "3s", "--json"])
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let grown = told["bytes_anonymous_grown"].as_u64();
        let summary = |told: &Value| {
            let fields = [
                "bytes_anonymous_grown",
                "bytes_unheld_grown",
                "bytes_outside_unexplained",
                "bytes_net",
            ];
            fields.map(|field| (field, told[field].clone()))
        };
        assert!(grown >= Some(WORTH_SAYING), "Node {major}: {:?}", summary(&told));
        assert_eq!(
            told["bytes_outside_unexplained"],
            Value::Null,
            "Node {major}: {:?}",
            summary(&told)
        );
    }
}
