//! The predicted heap limit is what the real binaries say, to the byte.

use std::fs;

use observer::source::{Level, cgroup::Cgroups};
use observer_core::{
    process::Runtime,
    v8_limit::{self, Inputs},
};
use observer_tests::{app::App, cgroup::Memcg, need, places};

use super::{MIB, hierarchy, inspect};

fn host_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let kib: u64 = text
        .lines()
        .next()
        .unwrap()
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

/// Starts Node.js with `flags` in `group`: what it says its heap limit is, and what is predicted from outside.
fn said_and_predicted(major: u32, group: &Memcg, flags: &[&str]) -> (u64, Option<u64>) {
    let script = "console.log('{\"ready\":true}', v8.getHeapStatistics().heap_size_limit); setInterval(() => {}, 1e9)";
    let mut command = group.command(&places::cached_node(major).unwrap());
    let mut app = App::start(command.args(flags).args(["-e", script])).unwrap();
    app.ready().unwrap();
    let said = app.output.so_far()[0].rsplit(' ').next().unwrap().parse().unwrap();

    let facts = inspect(app.pid());
    let Runtime::Node {
        version: Some(version), ..
    } = &facts.runtime
    else {
        panic!("{facts:?}")
    };
    assert!(version.starts_with(&format!("{major}.")));
    let mut cgroups = Cgroups::new(hierarchy());
    let mut reader = cgroups.open(&facts.cgroup);
    let Level::Read(level) = cgroups.read(&mut reader) else {
        panic!("no level")
    };
    let inputs = Inputs {
        major,
        limit: level.own_limit,
        high: level.high,
        cgroup_version: cgroups.hierarchy().version(),
        containerised: facts.containerised,
        host_memory: host_memory(),
        flags: facts.heap_flags,
    };
    (said, v8_limit::heap_limit(&inputs).map(|limit| limit.bytes))
}

fn every_case(major: u32) {
    let check = |group: &Memcg, flags: &[&str], what: &str| {
        let (said, predicted) = said_and_predicted(major, group, flags);
        assert_eq!(predicted, Some(said), "Node {major}, {what}, {flags:?}");
    };
    for limit in [256, 400, 777, 1024, 3333, 8192] {
        check(
            &Memcg::new("limit", Some(limit * MIB)).unwrap(),
            &[],
            &format!("{limit} MiB"),
        );
    }
    let group = Memcg::new("flags", Some(1024 * MIB)).unwrap();
    for flags in [
        &["--max-old-space-size=300"][..],
        &["--max_old_space_size=3000", "--max-semi-space-size=24"],
        &["--max-heap-size=500"],
    ] {
        check(&group, flags, "1024 MiB");
    }
    if major >= 22 {
        check(&group, &["--max-old-space-size-percentage=60"], "1024 MiB");
    }
    let pod = Memcg::new("pod", Some(512 * MIB)).unwrap();
    check(&pod.child("container", None).unwrap(), &[], "only an ancestor's limit");
    check(&Memcg::new("none", None).unwrap(), &[], "no limit");
}

#[test]
fn of_node_18() {
    need!(Root, NodeMajor(18));
    every_case(18);
}

#[test]
fn of_node_20() {
    need!(Root, NodeMajor(20));
    every_case(20);
}

#[test]
fn of_node_22() {
    need!(Root, NodeMajor(22));
    every_case(22);
}

#[test]
fn of_node_24() {
    need!(Root, NodeMajor(24));
    every_case(24);
}

#[test]
fn of_node_26() {
    need!(Root, NodeMajor(26));
    every_case(26);
}
