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
    assert!(
        said(&stopped).contains("/nonexistent/observer.toml"),
        "{}",
        said(&stopped)
    );
    assert_eq!(stopped.messages.len(), 1, "{}", said(&stopped));
}

#[test]
fn an_unknown_key_with_its_line_and_the_nearest_one() {
    let directory = Scratch::new("config").unwrap();
    let file = directory.file("observer.toml");
    fs::write(&file, "# settings\nsample-intervall = \"1s\"\n").unwrap();
    let stopped = refused(&["--config", &file.to_string_lossy()]);
    assert_eq!(stopped.code, 2, "{}", said(&stopped));
    for part in ["sample-intervall", "sample-interval`", "2"] {
        assert!(said(&stopped).contains(part), "{part}: {}", said(&stopped));
    }
}

#[test]
fn a_value_out_of_range() {
    let stopped = refused(&["--near-ceiling", "7"]);
    assert_eq!(stopped.code, 2, "{}", said(&stopped));
    assert!(said(&stopped).contains("near-ceiling"), "{}", said(&stopped));
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
    command.args(bare).arg(plain.get_program()).args(plain.get_args());
    let mut agent = Agent::spawn(&mut command).unwrap();
    observes(&mut agent, app.pid());
    let stopped = agent.stop().unwrap();
    assert_eq!(stopped.code, 0, "{}", said(&stopped));
    let hint = said(&stopped).to_lowercase();
    assert!(
        hint.contains("cap_bpf") || hint.contains("privilege") || hint.contains("permitted"),
        "{hint}"
    );
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
        .args(plain.get_args());
    let mut agent = Agent::spawn(&mut command).unwrap();
    let app = App::fixture("end.js", &[]).unwrap();
    observes(&mut agent, app.pid());
    let stopped = agent.stop().unwrap();
    assert_eq!(stopped.code, 0, "{}", said(&stopped));
    assert!(said(&stopped).contains("BTF"), "{}", said(&stopped));
}

#[test]
fn an_endpoint_that_nobody_listens_at() {
    need!(Root, Node);
    // Port 9 (discard): a listener there would be a wonder.
    let endpoint = "http://127.0.0.1:9";
    let mut agent = Agent::start(&["--otlp-endpoint", endpoint, "--stop-timeout", "2s"]).unwrap();
    let app = App::fixture("end.js", &[]).unwrap();
    observes(&mut agent, app.pid());
    let stopped = agent.stop().unwrap();
    assert_eq!(stopped.code, 0, "{}", said(&stopped));
}
