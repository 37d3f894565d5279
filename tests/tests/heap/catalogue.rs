//! The leak catalogue: real programs, each with one leak of its kind. The first line of each says what leaks and what
//! holds it; the culprit must be among the first three that grew, and its holder path must name the owner. Programs
//! that do not leak must name no culprit.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use observer_heap::{Growth, Holders, MOMENTS, Row};
use serde_json::Value;

use super::*;

/// In all, of a program that leaks: several major collections, some hundred objects.
const LEAKING: Duration = Duration::from_millis(2600);
/// Of one that does not: many times what its waves take, on a busy machine too.
const HEALTHY: Duration = Duration::from_secs(8);

/// Reads as `observer heap --diff` does.
fn grow(app: &App, apart: Duration) -> (Growth, Vec<Holders>) {
    sleep(LEAKING / 2);
    let metadata = memory::metadata(app.pid()).unwrap();
    let live = LiveMemory::open(app.pid()).unwrap();
    let began = Instant::now();
    let mut readings = Vec::new();
    let mut last = None;
    for moment in MOMENTS {
        sleep((began + apart.mul_f64(moment)).saturating_duration_since(Instant::now()));
        let (reader, reading) = read_with(&live, &metadata);
        last = Some(reader);
        readings.push(reading);
    }
    let mut growth = Growth::over(&readings.iter().collect::<Vec<_>>());
    let rows: Vec<&Row> = growth.grown.iter().take(3).map(|grown| &grown.row).collect();
    let held = last.unwrap().holders(&rows, 48, &mut |_| {}).unwrap();
    growth.confirm(&held);
    (growth, held)
}

fn programs() -> Vec<(String, Value)> {
    let mut programs: Vec<_> = fs::read_dir(places::fixtures().join("heap"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let source = fs::read_to_string(places::fixtures().join("heap").join(&name)).unwrap();
            let expected = source.lines().next()?.strip_prefix("// {")?;
            Some((name, serde_json::from_str(&format!("{{{expected}")).unwrap()))
        })
        .collect();
    programs.sort_by(|a, b| a.0.cmp(&b.0));
    programs
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

#[test]
fn leaks_are_named_and_so_are_their_holders() {
    need!(Root, Node);
    let (mut all, mut named, mut held_right) = (0, 0, 0);
    let mut missed = Vec::new();
    for (major, node) in some_nodes() {
        for (name, expected) in programs()
            .into_iter()
            .filter(|(_, expected)| expected["healthy"].is_null())
        {
            let app = start(&node, &name);
            let (growth, held) = grow(&app, LEAKING);
            all += 1;
            let wanted = strings(&expected["culprit"]);
            let first: Vec<&str> = growth
                .grown
                .iter()
                .take(3)
                .map(|grown| grown.row.what.as_str())
                .collect();
            let is_named = first.iter().any(|what| wanted.contains(what));
            let holder = strings(&expected["holder"]);
            let is_held = held.iter().any(|held| {
                held.paths.first().is_some_and(|path| {
                    let path = path.steps.join(" -> ");
                    holder.iter().all(|part| path.contains(part))
                })
            });
            named += usize::from(is_named);
            held_right += usize::from(is_held);
            if !is_named || !is_held {
                missed.push(format!(
                    "Node {major} {name}: {first:?}, {:?}",
                    held.first().map(|held| held.paths.first())
                ));
            }
        }
    }
    assert!(named * 100 >= all * 95, "{named} of {all} culprits named: {missed:#?}");
    assert!(
        held_right * 100 >= all * 80,
        "{held_right} of {all} holders named: {missed:#?}"
    );
}

#[test]
fn healthy_programs_name_no_culprit() {
    need!(Root, Node);
    for (major, node) in some_nodes() {
        for (name, _) in programs()
            .into_iter()
            .filter(|(_, expected)| !expected["healthy"].is_null())
        {
            let app = start(&node, &name);
            let (growth, _) = grow(&app, HEALTHY);
            let named: Vec<_> = growth.culprits(3).map(|grown| (&grown.row.what, grown.count)).collect();
            assert!(named.is_empty(), "Node {major} {name}: {named:?}");
        }
    }
}
