//! Programs under `observer watch` that take memory outside V8's heap: an addon that leaks, and others that do not.

use std::{
    path::{Path, PathBuf},
    process::Output,
    thread,
};

use observer_tests::{agent, compiled::ADDON, counterpart, need, places, stage::Scratch};
use serde_json::Value;

use super::{Turn, all, ended, fixture, text, unless_busy, watch};

/// Rounds of `native-rounds.js`, three tenths of a second each.
const ROUNDS: &str = "24";

/// Watches one kind of work, in rounds.
fn rounds(node: &Path, addon: &Path, kind: &str, format: &str) -> Output {
    let script = fixture("watch/native-rounds.js");
    let (node, addon) = (node.to_str().unwrap(), addon.to_str().unwrap());
    let command = [node, "--expose-gc", &script, kind, addon, ROUNDS];
    unless_busy(|| watch(&["--rounds", ROUNDS, "--format", format], &command))
}

/// What is wrong with what is said of an addon that leaks.
fn leaks(node: &Path, addon: &Path) -> Vec<String> {
    let output = rounds(node, addon, "leaks", "json");
    let said = format!("{} {}", node.display(), text(&output));
    if output.status.code() != Some(3) {
        return vec![said];
    }
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let process = &outcome["processes"][0];
    let risen = &process["outside_heap"];
    // 100 blocks of 2,016 bytes with their header; on a busy machine the last reading may come a round late.
    let per_round = risen["per_round_bytes"].as_f64().unwrap_or_default();
    let is_right = process["culprits"] == Value::Array(Vec::new())
        && risen["what"] == "blocks_in_use"
        && risen["blocks"]["up_to"] == 2_048
        && (160_000.0..260_000.0).contains(&per_round);
    if is_right { Vec::new() } else { vec![said] }
}

/// What is wrong with what is said of the others.
fn healthy(node: &Path, addon: &Path) -> Vec<String> {
    let said = ["bounded", "waits"].map(|kind| (kind, rounds(node, addon, kind, "human")));
    let wrong = said.iter().filter(|(_, output)| output.status.code() != Some(0));
    wrong
        .map(|(kind, output)| format!("{} {kind}: {}", node.display(), text(output)))
        .collect()
}

#[track_caller]
fn on(majors: &'static [u32]) {
    let scratch = Scratch::new("watch-native").unwrap();
    let addon = ADDON.compiled(scratch.path()).unwrap();
    let each = |check: fn(&Path, &Path) -> Vec<String>| {
        let addon = addon.clone();
        move |&major: &u32| {
            let (node, addon): (PathBuf, PathBuf) = (places::cached_node(major).unwrap(), addon.clone());
            thread::spawn(move || check(&node, &addon))
        }
    };
    let running: Vec<_> = majors
        .iter()
        .map(each(leaks))
        .chain(majors.iter().map(each(healthy)))
        .collect();
    let wrong: Vec<String> = running
        .into_iter()
        .flat_map(|running| running.join().unwrap())
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn an_addon_that_leaks_is_told_and_native_memory_that_is_bounded_or_waits_for_a_collection_is_not() {
    need!(Root, NodeMajor(18), NodeMajor(24), Compiled(&ADDON));
    on(&[18, 24]);
}

#[test]
fn an_addon_that_leaks_is_told_on_the_other_versions() {
    need!(
        Root,
        NodeMajor(20),
        NodeMajor(22),
        NodeMajor(26),
        Compiled(&ADDON),
        Full
    );
    on(&[20, 22, 26]);
}

/// Of an allocator whose structures are not read it is not told what is in use.
#[test]
fn a_level_that_climbs_in_another_allocator_is_not_called_clean() {
    need!(
        Root,
        Node,
        Library("libjemalloc2", "libjemalloc.so.2"),
        Compiled(&ADDON),
        Full
    );
    let scratch = Scratch::new("watch-jemalloc").unwrap();
    let addon = ADDON.compiled(scratch.path()).unwrap();
    let library = counterpart::debian_library("libjemalloc2", "libjemalloc.so.2").unwrap();
    let _turn = Turn::take();
    let output = agent::command(&["watch", "--for", "14s", "--format", "github", "--"])
        .arg(places::node().unwrap())
        .args([fixture("memory/addon.js"), addon.display().to_string()])
        .env("LD_PRELOAD", library)
        .output()
        .unwrap();
    let text = ended(&output, 4);
    all(
        &text,
        &[
            "::warning",
            "memory outside V8's heap went from",
            "in use and free are not told apart in jemalloc",
        ],
    );
}
