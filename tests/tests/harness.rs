//! The harness itself: a container is limited, killed, restarted in place and removed; what a killed process left is
//! swept. Without these the other tests would prove nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{path::Path, process::Command, time::Duration};

use observer_tests::{
    app::App,
    bundle::Spec,
    cgroup::Memcg,
    container::{Container, Restart},
    need, places, stage,
};

const MIB: u64 = 1 << 20;
const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_container_ends_as_its_program_does_and_leaves_nothing() {
    need!(Root, Runc, Node);
    let mut container = Container::ready(Spec::fixture("ends", None, "end.js", &[]), Restart::Never).unwrap();
    let cgroup = places::memory_controller().unwrap().0.join(&container.cgroup()[1..]);
    assert!(cgroup.is_dir(), "{}", cgroup.display());
    container.tell("exit 7").unwrap();
    assert_eq!(container.ended(MINUTE).unwrap(), 7);
    drop(container);
    assert!(!cgroup.exists(), "{}", cgroup.display());
}

#[test]
fn the_kernel_kills_at_the_limit_and_the_supervisor_restarts_in_place() {
    need!(Root, Runc, Node);
    let spec = Spec::fixture(
        "killed",
        Some(128 * MIB),
        "leak.js",
        &["--what", "buffer", "--mb", "200", "--wait", "no"],
    );
    let mut container = Container::start(spec, Restart::After(Duration::from_millis(100))).unwrap();
    container
        .ends
        .wait_count("SIGKILL", MINUTE, 3, |line| line == "137")
        .unwrap();
}

#[test]
fn a_process_below_a_shell_is_not_process_1() {
    need!(Root, Runc, Node);
    let spec = Spec::fixture("shell", None, "end.js", &[]).below_a_shell();
    let mut container = Container::ready(spec, Restart::Never).unwrap();
    container.tell("abort").unwrap();
    // SIGABRT ends it; process 1 would have ignored it and died of SIGSEGV.
    assert_eq!(container.ended(MINUTE).unwrap(), 134);
}

#[test]
fn a_cgroup_made_by_hand_limits_what_runs_in_it() {
    need!(Root, Runc, Node);
    let cgroup = Memcg::new("hand", Some(96 * MIB)).unwrap();
    let node = places::node().unwrap();
    let script = places::fixtures().join("leak.js");
    let mut command = cgroup.command(&node);
    let mut leak = App::start(command.arg(script).args(["--what", "buffer", "--mb", "200"])).unwrap();
    leak.ready().unwrap();
    leak.tell("go").unwrap();
    assert_eq!(leak.wait().unwrap(), 137);
}

#[test]
fn sockets_carry_the_incident() {
    need!(Node);
    let mut server = App::fixture("sessions.js", &["--bug", "off"]).unwrap();
    let port = server
        .output
        .wait("the port", MINUTE, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["listening"].as_u64()
        })
        .unwrap();
    let node = places::node().unwrap();
    let driver = places::fixtures().join("driver.js");
    let mut users = App::start(Command::new(node).arg(driver).args(["--port", &port.to_string()])).unwrap();
    let refused = users
        .output
        .wait("a hundred visits", MINUTE, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["served"].as_u64()? >= 100).then(|| line["refused"].as_u64())
        })
        .unwrap();
    assert_eq!(refused, Some(0));
}

#[test]
fn what_a_dead_process_left_is_swept() {
    need!(Root, Runc);
    let (controller, _) = places::memory_controller().unwrap();
    // Above the largest pid there can be: its maker is dead for certain.
    let orphan = controller.join("observer-stage-4194305-1");
    std::fs::create_dir_all(orphan.join("child")).unwrap();
    let directory = std::env::temp_dir().join("observer-stage-4194305-1");
    std::fs::create_dir_all(&directory).unwrap();
    stage::sweep();
    assert!(!orphan.exists());
    assert!(!Path::new(&directory).exists());
}
