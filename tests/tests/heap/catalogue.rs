//! The leak catalogue: real programs, each with one leak of its kind. The first line of each says what leaks and what
//! holds it; the culprit must be the first suspect, and the place where it accumulates must name the owner. Programs
//! that do not leak must name no culprit.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use observer_heap::{Growth, MOMENTS, Suspect};
use serde_json::Value;

use super::*;

/// In all, of a program that leaks: several major collections, some hundred objects.
const LEAKING: Duration = Duration::from_millis(2600);
/// Of one that does not: many times what its waves take, on a busy machine too.
const HEALTHY: Duration = Duration::from_secs(8);

/// Reads as `observer heap --diff` does.
fn grow(app: &App, apart: Duration) -> (Growth, Vec<Suspect>) {
    sleep(LEAKING / 2);
    grow_at(app, apart, &MOMENTS)
}

/// Reads at these moments, shares of the time in all.
fn grow_at(app: &App, apart: Duration, moments: &[f64]) -> (Growth, Vec<Suspect>) {
    let metadata = memory::metadata(app.pid()).unwrap();
    let live = LiveMemory::open(app.pid()).unwrap();
    let began = Instant::now();
    let mut readings = Vec::new();
    let mut last = None;
    for &moment in moments {
        sleep((began + apart.mul_f64(moment)).saturating_duration_since(Instant::now()));
        let (reader, reading) = read_with(&live, &metadata);
        last = Some(reader);
        readings.push(reading);
    }
    let growth = Growth::over(&readings.iter().collect::<Vec<_>>());
    let mut reader = last.unwrap();
    let mut suspects = reader
        .suspects(&growth, (&readings[0], &readings[readings.len() - 1]), &mut |_| {})
        .unwrap();
    reader
        .lines(suspects.iter_mut().map(|suspect| &mut suspect.content))
        .unwrap();
    (growth, suspects)
}

/// The names that would be said, likeliest first, with where they accumulate.
fn blamed(growth: &Growth, suspects: &[Suspect]) -> Vec<(String, String)> {
    suspects
        .iter()
        .filter(|suspect| growth.blames(suspect.share, suspect.steady))
        .map(|suspect| (suspect.content.what.clone(), suspect.path.join(" -> ")))
        .collect()
}

/// Whether the suspects' shares of the growth are what the program says, within five points; its second leak too.
fn shares(expected: &Value, suspects: &[Suspect]) -> bool {
    let within = |share: &Value, index: usize| {
        let suspect = suspects.get(index);
        share
            .as_f64()
            .is_none_or(|share| suspect.is_some_and(|s| (s.share - share).abs() <= 0.05))
    };
    let also = &expected["also"];
    let second = also.as_object().is_none_or(|_| {
        suspects.get(1).is_some_and(|suspect| {
            suspect.content.what == also["culprit"].as_str().unwrap()
                && suspect.path.join(" -> ").contains(also["holder"].as_str().unwrap())
        })
    });
    within(&expected["share"], 0) && within(&also["share"], 1) && second
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

/// What is said of a program that leaks, beside what is expected.
struct Found {
    named: bool,
    held: bool,
    said: String,
}

impl Found {
    fn missed(self) -> Option<String> {
        (!self.named || !self.held).then_some(self.said)
    }
}

fn find(major: u32, node: &Path, name: &str, expected: &Value) -> Found {
    let app = start(node, name);
    let (mut growth, mut suspects) = grow(&app, LEAKING);
    let mut blamed = blamed(&growth, &suspects);
    if blamed.is_empty() {
        // Nobody was named, which is no wrong name: a reading in between may miss the head of a chain that moves. Looked at again.
        (growth, suspects) = grow(&app, LEAKING);
        blamed = self::blamed(&growth, &suspects);
    }
    let (what, path) = blamed.first().cloned().unwrap_or_default();
    let column = suspects.first().and_then(|suspect| suspect.content.column);
    let is_named =
        strings(&expected["culprit"]).contains(&what.as_str()) && column.map(u64::from) == expected["column"].as_u64();
    let told: Vec<_> = suspects
        .iter()
        .map(|s| (s.share, s.steady, &s.content.what, s.path.join(" -> ")))
        .collect();
    let grown: Vec<_> = growth.grown.iter().take(4).map(|g| (&g.row.what, g.count)).collect();
    Found {
        named: is_named && shares(expected, &suspects),
        held: strings(&expected["holder"]).iter().all(|part| path.contains(part)),
        said: format!("Node {major} {name}: {blamed:?}; {told:?}; {grown:?}"),
    }
}

/// Lists whose links hold one another both ways, with more of them than the search upwards keeps objects: none is missed on any version.
const LISTS: [&str; 3] = [
    "linked-lru-unlimited.js",
    "listener-on-a-signal.js",
    "queue-never-drained.js",
];

#[test]
fn long_doubly_linked_lists_are_told_by_what_holds_them_on_every_version() {
    need!(Root, Node, Full);
    let mut missed = Vec::new();
    for (major, node) in nodes() {
        let lists = programs()
            .into_iter()
            .filter(|(name, _)| LISTS.contains(&name.as_str()));
        for (name, expected) in lists {
            missed.extend(find(major, &node, &name, &expected).missed());
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
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
            all += 1;
            let found = find(major, &node, &name, &expected);
            named += usize::from(found.named);
            held_right += usize::from(found.held);
            missed.extend(found.missed());
        }
    }
    assert!(named * 100 >= all * 95, "{named} of {all} culprits named: {missed:#?}");
    assert!(
        held_right * 100 >= all * 95,
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
            let (growth, suspects) = grow(&app, HEALTHY);
            let named = blamed(&growth, &suspects);
            assert!(named.is_empty(), "Node {major} {name}: {named:?}");
        }
    }
}

/// Caches that fill, each of its own kind; they are full long after the last reading.
const FILLING: [&str; 6] = ["lru", "memo", "pool", "ring", "routes", "sessions"];

/// What docs/adr/0032 was decided by: three readings of a healthy cache that fills name a steady suspect, as those of a leak do. Should
/// they no longer, a suspect is evidence, and the decision is to be made again.
#[test]
fn three_readings_of_a_cache_that_fills_are_those_of_a_leak() {
    need!(Root, Node, Full);
    let (mut alike, mut all) = (0, 0);
    for (major, node) in some_nodes() {
        for kind in FILLING {
            let mut command = Command::new(&node);
            command.arg("--expose-gc").arg("-r");
            command.arg(places::fixtures().join("heap/major.js")).env("KIND", kind);
            let app = started(command, "fills-to-a-bound.js");
            sleep(LEAKING / 2);
            let (growth, suspects) = grow_at(&app, 2 * LEAKING, &[0.0, 0.5, 1.0]);
            let named = blamed(&growth, &suspects);
            println!("Node {major} {kind}: {named:?}");
            all += 1;
            alike += usize::from(!named.is_empty());
        }
    }
    println!("{alike} of {all} healthy caches that fill show a steady suspect");
    assert!(2 * alike > all, "{alike} of {all}: docs/adr/0032");
}

/// What Alpine's images run: V8 is the same, roots are found without knowing the allocator.
#[test]
fn on_musl_leaks_are_named_with_their_holders() {
    need!(Root, Musl, Full);
    let wanted = [
        "map-without-eviction.js",
        "closure-in-timer.js",
        "two-leaks.js",
        "private-field.js",
    ];
    for (name, expected) in programs()
        .into_iter()
        .filter(|(name, _)| wanted.contains(&name.as_str()))
    {
        let mut command = musl::node(|program| Command::new(program)).unwrap();
        command
            .arg("--expose-gc")
            .arg("-r")
            .arg(places::fixtures().join("heap/major.js"));
        let app = started(command, &name);
        let (growth, suspects) = grow(&app, LEAKING);
        let blamed = blamed(&growth, &suspects);
        let (what, path) = blamed.first().cloned().unwrap_or_default();
        assert!(
            strings(&expected["culprit"]).contains(&what.as_str()),
            "{name}: {blamed:?}"
        );
        let is_held = strings(&expected["holder"]).iter().all(|part| path.contains(part));
        assert!(is_held && shares(&expected, &suspects), "{name}: {blamed:?}");
    }
}
