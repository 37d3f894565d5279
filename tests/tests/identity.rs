//! A Node.js process is found whatever its name, title or path, and whenever it started; what is only called `node` is
//! not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use anyhow::Result;
use observer_core::{What, process::ProcessFacts};
use observer_tests::{
    agent::Agent,
    app::App,
    bundle::Spec,
    container::{Container, Restart},
    need, places,
    stage::Scratch,
};

/// Facts of the watched process with this pid, once the agent has them.
fn watched(agent: &mut Agent, pid: u32) -> Result<ProcessFacts> {
    agent.wait_input(&format!("process {pid} as one that is watched"), |input| {
        match &input.what {
            What::Process(facts) if facts.key.pid == pid && facts.is_watched() => Some((**facts).clone()),
            _ => None,
        }
    })
}

/// Whether the recording so far has this pid as watched.
fn was_watched(agent: &Agent, pid: u32) -> bool {
    let recorded = fs::read_to_string(agent.recording()).unwrap_or_default();
    let inputs = recorded
        .lines()
        .filter_map(|line| serde_json::from_str::<observer_core::Input>(line).ok());
    inputs
        .into_iter()
        .any(|input| matches!(input.what, What::Process(facts) if facts.key.pid == pid && facts.is_watched()))
}

fn end_js() -> std::path::PathBuf {
    places::fixtures().join("end.js")
}

#[test]
fn one_that_was_there_before_the_agent() {
    need!(Root, Bpf, Node);
    let app = App::fixture("end.js", &[]).unwrap();
    let mut agent = Agent::start(&[]).unwrap();
    let facts = watched(&mut agent, app.pid()).unwrap();
    assert!(facts.script.is_some_and(|script| script.ends_with("end.js")));
}

#[test]
fn one_that_starts_later_with_another_title() {
    need!(Root, Bpf, Node);
    let mut agent = Agent::start(&[]).unwrap();
    let app = App::fixture("end.js", &["--title", "next-server (v1"]).unwrap();
    watched(&mut agent, app.pid()).unwrap();
}

#[test]
fn one_under_another_name_and_path() {
    need!(Root, Bpf, Node);
    let directory = Scratch::new("renamed").unwrap();
    let renamed = directory.file("billing-service");
    fs::copy(places::node().unwrap(), &renamed).unwrap();
    let linked = directory.file("linked");
    symlink(&renamed, &linked).unwrap();
    let mut agent = Agent::start(&[]).unwrap();
    for path in [&renamed, &linked] {
        let mut app = App::start(Command::new(path).arg(end_js())).unwrap();
        app.ready().unwrap();
        watched(&mut agent, app.pid()).unwrap();
    }
}

#[test]
fn one_in_a_container_with_its_limit_and_its_name() {
    need!(Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&[]).unwrap();
    let spec = Spec::fixture("named", Some(256 << 20), "end.js", &[]).with("OTEL_SERVICE_NAME", "billing");
    let container = Container::ready(spec, Restart::Never).unwrap();
    let cgroup = container.cgroup();
    let facts = agent
        .wait_input("the container's process", |input| match &input.what {
            What::Process(facts) if facts.cgroup == cgroup && facts.is_watched() => Some((**facts).clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(facts.ns_pid, 1);
    assert!(facts.containerised);
    assert_eq!(facts.otel.get("OTEL_SERVICE_NAME").map(String::as_str), Some("billing"));
    let limit = agent
        .wait_input("a sample of it", |input| match &input.what {
            What::Sample(sample) if sample.process == facts.key => sample.cgroup.clone()?.limit,
            _ => None,
        })
        .unwrap();
    assert_eq!((limit.bytes, limit.cgroup), (256 << 20, cgroup));
}

#[test]
fn what_is_only_called_so_is_not() {
    need!(Root, Bpf, Node);
    let directory = Scratch::new("called").unwrap();
    let datanode = directory.file("datanode");
    fs::copy("/bin/sleep", &datanode).unwrap();
    let script = directory.file("node");
    fs::write(
        &script,
        "#!/bin/sh\n# stays a shell, and leaves nobody behind for long when it is killed\nwhile :; do sleep 1; done\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

    let before = App::start(Command::new(&datanode).arg("600")).unwrap();
    let mut agent = Agent::start(&[]).unwrap();
    let after = [
        App::start(Command::new(&datanode).arg("600")).unwrap(),
        App::start(&mut Command::new(&script)).unwrap(),
    ];
    // A real one, started last: when the agent has it, it has had its look at the others.
    let real = App::fixture("end.js", &[]).unwrap();
    watched(&mut agent, real.pid()).unwrap();
    for app in after.iter().chain([&before]) {
        assert!(!was_watched(&agent, app.pid()), "{}", describe(app.pid()));
    }
}

#[test]
fn bun_is_not() {
    need!(Root, Bpf, Node, Bun);
    let bun = places::cached_bun().unwrap();
    let mut agent = Agent::start(&[]).unwrap();
    let mut app = App::start(Command::new(bun).arg(end_js())).unwrap();
    app.ready().unwrap();
    let real = App::fixture("end.js", &[]).unwrap();
    watched(&mut agent, real.pid()).unwrap();
    assert!(!was_watched(&agent, app.pid()), "{}", describe(app.pid()));
}

fn describe(pid: u32) -> String {
    let exe = fs::read_link(Path::new("/proc").join(pid.to_string()).join("exe"));
    format!("watched although it is {exe:?}")
}

/// One test per major version of Node.js, each skipped by name where the cache lacks that version.
macro_rules! versions {
    ($($name:ident $major:literal)+) => {$(
        #[test]
        fn $name() {
            need!(Root, Bpf, NodeMajor($major));
            let node = places::cached_node($major).unwrap();
            let mut agent = Agent::start(&[]).unwrap();
            let mut app = App::start(Command::new(node).arg(end_js())).unwrap();
            app.ready().unwrap();
            let facts = watched(&mut agent, app.pid()).unwrap();
            let observer_core::process::Runtime::Node { version, .. } = facts.runtime else { unreachable!() };
            let version = version.unwrap();
            assert!(version.starts_with(concat!($major, ".")), "{version}");
        }
    )+};
}

versions! {
    node_18_with_its_version 18
    node_20_with_its_version 20
    node_22_with_its_version 22
    node_24_with_its_version 24
    node_26_with_its_version 26
}
