//! The agent's own diagnosis: a container that leaks and whose operator consented is read when growth is suspected and
//! again when it has risen, and the leaking function is named with what holds it.

use std::time::Duration;

use observer_tests::{
    agent::{self, Agent},
    bundle::Spec,
    compiled::ADDON,
    container::{Container, Restart},
    stage::Scratch,
};
use serde_json::Value;

use super::*;

const DIAGNOSIS: &str = "observer.memory.diagnosis";
const READ: &str = "observer.memory.heap_read";

#[test]
fn the_agent_names_what_leaks_in_a_container_that_consented() {
    need!(Root, Bpf, Runc, Node);
    // An hour's leak and an hour's budget, in seconds.
    let flags = [
        "--time-scale",
        "0.001",
        "--heap-workloads",
        "leaky",
        "--heap-interval",
        "1s",
    ];
    let mut agent = Agent::start(&flags).unwrap();
    let spec = |name: &str| {
        Spec::fixture(name, Some(400 << 20), "heap/listener-per-connection.js", &[])
            .with("OTEL_SERVICE_NAME", name)
            .with("PER_TICK", "220")
    };
    // The same leak beside it, without consent.
    let _other = Container::ready(spec("private"), Restart::Never).unwrap();
    let _leaky = Container::ready(spec("leaky"), Restart::After(Duration::from_millis(300))).unwrap();
    let told = agent
        .wait_finding("the diagnosis", |finding| {
            let growers = finding["attributes"]["observer.heap.growers"].as_array()?;
            let named = growers.iter().filter_map(Value::as_str).find(|grower| {
                grower.starts_with("onUserMessage()")
                    && grower.contains("listener-per-connection.js:")
                    && grower.contains("EventEmitter._events")
            })?;
            (finding["event"] == DIAGNOSIS).then(|| (finding["resource"]["service.name"].clone(), named.to_owned()))
        })
        .unwrap();
    assert_eq!(told.0, "leaky", "{told:?}");
    let stopped = agent.stop().unwrap();
    let findings: Vec<Value> = stopped
        .findings
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let read = |service: &str| {
        let of = |finding: &&Value| finding["event"] == READ && finding["resource"]["service.name"] == service;
        findings.iter().filter(of).count()
    };
    assert!(read("leaky") >= 2, "each reading is an event");
    assert_eq!(read("private"), 0, "nobody consented to that");
    let recording = stopped.recording.to_str().unwrap();
    let explained = agent::command(&["explain", "leaky", "--from", recording])
        .output()
        .unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    let (_, grown) = explained
        .split_once("What grew in the heap:")
        .unwrap_or_else(|| panic!("{explained}"));
    assert!(grown.contains("onUserMessage()"), "{explained}");
    let replay = agent::command(&["replay", recording, "--output", "json"])
        .output()
        .unwrap();
    let replayed = String::from_utf8(replay.stdout).unwrap();
    assert_eq!(
        replayed.lines().collect::<Vec<_>>(),
        stopped.findings,
        "a replay needs no process"
    );
}

/// What leaks here is below Node.js: the heap holds little of it, and what it holds wraps native objects.
#[test]
fn the_agent_tells_where_the_memory_is_of_a_container_whose_heap_is_not_what_grows() {
    need!(Root, Bpf, Runc, Node, Full);
    let native = Spec::fixture("native", Some(400 << 20), "heap/gzip-never-closed.js", &[]);
    is_told_as_native(native.with("PER_TICK", "1"));
}

/// Of blocks that an addon forgets the heap knows nothing.
#[test]
fn the_agent_tells_native_memory_and_blames_nothing_in_the_heap_where_an_addon_leaks() {
    need!(Root, Bpf, Runc, Node, Compiled(&ADDON));
    let scratch = Scratch::new("diagnosis-addon").unwrap();
    let inside = "/opt/addon.node";
    let mut native = Spec::fixture("native", Some(400 << 20), "memory/addon.js", &[inside]);
    native.file = Some((ADDON.compiled(scratch.path()).unwrap(), inside.to_owned()));
    let told = is_told_as_native(native);
    let culprit = told
        .as_object()
        .unwrap()
        .keys()
        .find(|name| name.contains("heap.culprit"));
    assert!(culprit.is_none(), "{told:#}");
}

/// What the agent says of a container that leaks below Node.js, and in `explain`.
#[track_caller]
fn is_told_as_native(native: Spec) -> Value {
    let flags = [
        "--time-scale",
        "0.001",
        "--heap-workloads",
        "native",
        "--heap-interval",
        "1s",
    ];
    let mut agent = Agent::start(&flags).unwrap();
    let native = native.with("OTEL_SERVICE_NAME", "native");
    let _native = Container::ready(native, Restart::After(Duration::from_millis(300))).unwrap();
    let told = agent
        .wait_finding("where the memory is of what leaks below Node.js", |finding| {
            let attributes = &finding["attributes"];
            let is_it = finding["event"] == DIAGNOSIS
                && finding["resource"]["service.name"] == "native"
                && attributes["observer.memory.growth.kind"].is_string();
            is_it.then(|| attributes.clone())
        })
        .unwrap();
    assert_eq!(told["observer.memory.growth.kind"], "native", "{told:#}");
    let share = told["observer.memory.growth.share"].as_f64().unwrap();
    assert!(share > 0.8, "{told:#}");
    let meaning = told["observer.memory.growth.meaning"].as_str().unwrap();
    assert!(meaning.starts_with("a leak in native memory"), "{told:#}");
    let stopped = agent.stop().unwrap();
    let recording = stopped.recording.to_str().unwrap();
    let explained = agent::command(&["explain", "native", "--from", recording])
        .output()
        .unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    let (_, whereabouts) = explained
        .split_once("Where the memory is:")
        .unwrap_or_else(|| panic!("{explained}"));
    let whereabouts: Vec<&str> = whereabouts.split_ascii_whitespace().collect();
    let whereabouts = whereabouts.join(" ");
    assert!(
        whereabouts.contains("most of what grew is memory that native code has in use"),
        "{explained}"
    );
    told
}
