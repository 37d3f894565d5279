//! Variables that hold something are told by their own names, wherever they are declared: another's would send a reader to the wrong line.

use observer_heap::Row;

use super::*;

/// What hangs at `var_KIND` of each kind of scope is of the class `In_KIND`.
const CLASS: &str = "In_";

fn holders_of_each(node: &Path, script: &str) -> Vec<(String, String)> {
    let mut command = Command::new(node);
    command.arg(places::fixtures().join("scopes").join(script));
    let mut app = App::start(&mut command).unwrap();
    app.output
        .wait("readiness", app::READY, |line| line.contains("\"ready\"").then_some(()))
        .unwrap();
    let metadata = memory::metadata(app.pid()).unwrap();
    let live = LiveMemory::open(app.pid()).unwrap();
    let (mut reader, reading) = read_with(&live, &metadata);
    let rows: Vec<&Row> = reading.rows.iter().filter(|row| row.what.starts_with(CLASS)).collect();
    // The class itself is a row of one function.
    let rows: Vec<&Row> = rows.into_iter().filter(|row| row.tally.count >= 200).collect();
    let held = reader.holders(&rows, 20, &mut |_| {}).unwrap();
    let way = |held: &observer_heap::Holders| {
        held.paths
            .first()
            .map_or_else(String::new, |path| path.steps.join(" -> "))
    };
    rows.iter()
        .zip(&held)
        .map(|(row, held)| (row.what[CLASS.len()..].to_owned(), way(held)))
        .collect()
}

fn check(script: &str, kinds: &[&str]) {
    for (major, node) in nodes() {
        let held = holders_of_each(&node, script);
        for kind in kinds {
            let way = held.iter().find(|(found, _)| found == kind).map(|(_, way)| way);
            let named = way.is_some_and(|way| {
                let variable = format!("var_{kind}");
                way.split(" -> ")
                    .any(|step| step.split(' ').take(2).any(|word| word == variable))
            });
            assert!(named, "Node {major}, {script}, {kind}: {way:?}\n{held:#?}");
        }
    }
}

#[test]
fn a_variable_is_told_by_its_own_name_in_each_kind_of_scope() {
    need!(Root, Node);
    let kinds = [
        "function",
        "itself",
        "block",
        "caught",
        "parameter",
        "generator",
        "many",
        "eval",
        "both",
        "script",
        "static",
    ];
    check("everywhere.js", &kinds);
}

#[test]
fn a_variable_of_a_module_is_told_by_its_own_name() {
    need!(Root, Node);
    check("module.mjs", &["module", "last", "exported"]);
}
