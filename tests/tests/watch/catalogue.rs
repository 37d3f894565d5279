//! Programs of the heap's catalogue under `observer watch`: those that leak and those that do not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    thread,
};

use observer_tests::{need, places, stage::Scratch};

use super::{WATCHED, as_user_with, text, unless_busy, watch};

/// Programs of the heap's catalogue, with whether they leak.
fn catalogue() -> Vec<(String, bool)> {
    let mut programs: Vec<(String, bool)> = fs::read_dir(places::fixtures().join("heap"))
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let source = fs::read_to_string(&path).unwrap();
            let expected: serde_json::Value = serde_json::from_str(source.lines().next()?.strip_prefix("// ")?).ok()?;
            Some((path.display().to_string(), expected["healthy"].is_null()))
        })
        .collect();
    programs.sort();
    programs
}

/// Watches programs of the catalogue with a Node.js; what is wrong.
fn wrong(node: &Path, programs: &[(String, bool)]) -> Vec<String> {
    wrong_of(node, programs, |node, program| {
        watch(&["--for", WATCHED], &[node, program])
    })
}

fn wrong_of(node: &Path, programs: &[(String, bool)], watch: impl Fn(&str, &str) -> Output) -> Vec<String> {
    let mut wrong = Vec::new();
    for (program, leaks) in programs {
        let output = unless_busy(|| watch(node.to_str().unwrap(), program));
        if output.status.code() != Some(if *leaks { 3 } else { 0 }) {
            wrong.push(format!("{} {program}: {}", node.display(), text(&output)));
        }
    }
    wrong
}

#[test]
fn programs_of_the_catalogue_that_leak_and_that_do_not() {
    need!(Root, Node);
    let programs = catalogue();
    let some: Vec<_> = programs
        .iter()
        .filter(|(program, leaks)| {
            !leaks
                || [
                    "map-without",
                    "listener-per-connection",
                    "listener-on-a-signal",
                    "wrapped",
                ]
                .iter()
                .any(|some| program.contains(some))
        })
        .cloned()
        .collect();
    assert!(some.len() >= 5, "{some:?}");
    assert_eq!(wrong(&places::node().unwrap(), &some), Vec::<String>::new());
}

/// The place where listeners on an AbortSignal accumulate: on the oldest and the newest version, or on each that is there.
#[test]
fn listeners_on_a_signal_with_their_place() {
    need!(Root, Node);
    let program = places::fixtures().join("heap/listener-on-a-signal.js");
    let majors: &[u32] = match need::missing(need::Need::Full) {
        None => &[18, 20, 22, 24, 26],
        Some(_) => &[18, 26],
    };
    for node in majors.iter().copied().filter_map(places::cached_node) {
        let command = [node.to_str().unwrap(), program.to_str().unwrap()];
        let output = unless_busy(|| watch(&["--for", WATCHED, "--format", "json"], &command));
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let culprit = &outcome["processes"][0]["culprits"][0];
        assert_eq!(culprit["what"], "onShutdown()", "{}: {outcome}", node.display());
        let holder = culprit["held_by"].to_string();
        for part in ["stopping in ", "AbortSignal"] {
            assert!(holder.contains(part), "{}: {outcome}", node.display());
        }
    }
}

#[test]
fn the_whole_catalogue_on_every_version() {
    need!(
        Root,
        NodeMajor(18),
        NodeMajor(20),
        NodeMajor(22),
        NodeMajor(24),
        NodeMajor(26),
        Full
    );
    on_every_version(wrong);
}

#[test]
fn the_whole_catalogue_on_every_version_as_an_ordinary_user() {
    need!(
        Root,
        NodeMajor(18),
        NodeMajor(20),
        NodeMajor(22),
        NodeMajor(24),
        NodeMajor(26),
        Program("setpriv"),
        Full
    );
    on_every_version(|node, programs| {
        let scratch = Scratch::new("catalogue").unwrap();
        wrong_of(node, programs, |node, program| {
            let below = Path::new(program).strip_prefix(places::fixtures()).unwrap();
            as_user_with(
                &scratch,
                Path::new(node),
                &["--for", WATCHED],
                &[],
                below.to_str().unwrap(),
            )
        })
    });
}

fn on_every_version(wrong: impl Fn(&Path, &[(String, bool)]) -> Vec<String> + Copy + Send + 'static) {
    let programs = catalogue();
    let nodes = [18, 20, 22, 24, 26].map(|major| places::cached_node(major).unwrap());
    let watched = |node: &PathBuf| {
        let (node, programs) = (node.clone(), programs.clone());
        thread::spawn(move || wrong(&node, &programs))
    };
    let running: Vec<_> = nodes.iter().map(watched).collect();
    let all: Vec<String> = running
        .into_iter()
        .flat_map(|running| running.join().unwrap())
        .collect();
    // One in twenty may be missed; none may be accused that does not leak.
    let accused = all.iter().filter(|one| one.contains("healthy-")).count();
    assert_eq!(accused, 0, "{all:#?}");
    assert!(all.len() * 20 <= programs.len() * nodes.len(), "{all:#?}");
}
