//! Bad input and poor circumstances: each gives one clear line that says what and what to do, and what is still
//! possible is still done.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_core::What;
use observer_tests::{
    agent::{self, Agent, Stopped},
    app::App,
    need, places,
    stage::Scratch,
};

/// An agent that ends by itself, with what it said.
fn refused(arguments: &[&str]) -> Stopped {
    Agent::launch(arguments).unwrap().end().unwrap()
}

fn said(stopped: &Stopped) -> String {
    stopped.messages.join("\n")
}

/// Exactly one line was said, and it names all of these.
fn one_line(stopped: &Stopped, parts: &[&str]) {
    assert_eq!(stopped.messages.len(), 1, "{}", said(stopped));
    for part in parts {
        assert!(stopped.messages[0].contains(part), "{part}: {}", said(stopped));
    }
}

/// Waits until the agent has found this program and has sampled it.
fn observes(agent: &mut Agent, pid: u32) {
    agent
        .wait_input("a sample of the program", |input| match &input.what {
            What::Sample(sample) => (sample.process.pid == pid).then_some(()),
            _ => None,
        })
        .unwrap();
}

#[test]
fn a_configuration_that_is_not_there() {
    let stopped = refused(&["--config", "/nonexistent/observer.toml"]);
    assert_eq!(stopped.code, 2, "{}", said(&stopped));
    one_line(&stopped, &["/nonexistent/observer.toml"]);
}

#[test]
fn an_unknown_key_with_its_line_and_the_nearest_one() {
    let directory = Scratch::new("config").unwrap();
    let file = directory.file("observer.toml");
    fs::write(&file, "# settings\nsample-intervall = \"1s\"\n").unwrap();
    let stopped = refused(&["--config", &file.to_string_lossy()]);
    assert_eq!(stopped.code, 2, "{}", said(&stopped));
    one_line(
        &stopped,
        &["sample-intervall", "sample-interval`", "observer.toml", "2"],
    );
}

#[test]
fn a_value_out_of_range() {
    let stopped = refused(&["--near-ceiling", "7"]);
    assert_eq!(stopped.code, 2, "{}", said(&stopped));
    one_line(&stopped, &["near-ceiling"]);
}

#[test]
fn no_privileges_leaves_the_files() {
    need!(Root, Node, Program("setpriv"));
    let bare = [
        "--bounding-set",
        "-all",
        "--inh-caps",
        "-all",
        "--ambient-caps",
        "-all",
        "--",
    ];
    // Without privileges too: one process may look at another of its user that may do no more than itself.
    let node = places::node().unwrap();
    let mut app = App::start(
        Command::new("setpriv")
            .args(bare)
            .arg(node)
            .arg(places::fixtures().join("end.js")),
    )
    .unwrap();
    app.ready().unwrap();
    let plain = agent::command(&["run", "--output", "json", "--sample-interval", "1s"]);
    let mut command = Command::new("setpriv");
    command
        .args(bare)
        .arg(plain.get_program())
        .args(plain.get_args())
        .env("OBSERVER_STATUS_SOCKET", "off");
    let mut agent = Agent::spawn(&mut command).unwrap();
    observes(&mut agent, app.pid());
    let stopped = agent.stop().unwrap();
    assert_eq!(stopped.code, 0, "{}", said(&stopped));
    one_line(&stopped, &["CAP_BPF", "files", "observer doctor"]);
}

#[test]
fn no_btf_costs_a_rung_and_is_told() {
    need!(Root, Bpf, Node, Program("unshare"));
    let plain = agent::command(&["run", "--output", "json", "--sample-interval", "1s"]);
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "/bin/sh",
            "-c",
            "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"",
        ])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env("OBSERVER_STATUS_SOCKET", "off");
    let mut agent = Agent::spawn(&mut command).unwrap();
    let app = App::fixture("end.js", &[]).unwrap();
    observes(&mut agent, app.pid());
    let stopped = agent.stop().unwrap();
    assert_eq!(stopped.code, 0, "{}", said(&stopped));
    one_line(&stopped, &["BTF", "/sys/kernel/btf/vmlinux", "observer doctor"]);
}

/// One line when it is found out, not one per attempt; and what was lost by it is counted when the agent stops.
#[test]
fn an_endpoint_that_nobody_listens_at() {
    need!(Root, Node);
    // Port 9 (discard): a listener there would be a wonder.
    let endpoint = "http://127.0.0.1:9";
    let mut command = agent::command(&[
        "run",
        "--output",
        "json",
        "--sample-interval",
        "1s",
        "--stop-timeout",
        "2s",
    ]);
    command.args(["--otlp-endpoint", endpoint]);
    // Each signal has a line of its own; this is about one.
    command
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_TRACES_EXPORTER", "none");
    let mut agent = Agent::spawn(&mut command).unwrap();
    let app = App::fixture("end.js", &[]).unwrap();
    observes(&mut agent, app.pid());
    agent
        .messages
        .wait("a word on the endpoint", agent::DEADLINE, |line| {
            (line.contains("127.0.0.1:9") && line.contains("sent again")).then_some(())
        })
        .unwrap();
    let stopped = agent.stop().unwrap();
    assert_eq!(stopped.code, 0, "{}", said(&stopped));
    let [_, closing] = stopped.messages.as_slice() else {
        panic!("{}", said(&stopped));
    };
    assert!(closing.contains("not delivered before the stop deadline"), "{closing}");
}

#[test]
fn a_second_agent_on_a_host_says_so_and_goes_on() {
    let directory = Scratch::new("second").unwrap();
    let socket = directory.file("status.sock");
    let flags = ["--hooks", "off", "--status-socket", &socket.to_string_lossy()];
    let first = Agent::start(&flags).unwrap();
    let mut second = Agent::start(&flags).unwrap();
    second
        .messages
        .wait("a word on the first", agent::DEADLINE, |line| {
            line.contains("another agent").then_some(())
        })
        .unwrap();
    assert_eq!(second.stop().unwrap().code, 0);
    assert!(socket.exists(), "the first one's socket stays");
    assert_eq!(first.stop().unwrap().code, 0);
}
