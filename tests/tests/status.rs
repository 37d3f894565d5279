//! What a running agent says of itself: over its socket, and to a scraper.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use observer_tests::{agent::Agent, app::App, need, places, ports::free_ports};

/// One HTTP exchange: the status line's code and the body.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: observer\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn the_socket_and_the_scraper_are_told_the_same() {
    need!(Root);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let socket = socket.to_str().unwrap();
    let [port] = free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");
    let _agent = Agent::start(&["--hooks", "off", "--status-socket", socket, "--listen", &address]).unwrap();

    // The first Input is recorded before the sockets are bound.
    let deadline = std::time::Instant::now() + observer_tests::agent::DEADLINE;
    while TcpStream::connect(&address).is_err() {
        assert!(std::time::Instant::now() < deadline, "nothing listens at {address}");
        std::thread::yield_now();
    }
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(&address, "/readyz").0, 200);
    assert_eq!(get(&address, "/").0, 404);
    let (code, metrics) = get(&address, "/metrics");
    assert_eq!(code, 200);
    assert!(metrics.contains("observer_agent_inputs_total{"), "{metrics}");
    assert!(metrics.contains("observer_agent_hook_rung=\"files only\""), "{metrics}");

    let output = Command::new(places::agent())
        .args(["status", "--status-socket", socket])
        .output()
        .unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(page.contains("hook      exec by files only"), "{page}");
    let output = Command::new(places::agent())
        .args(["status", "--status-socket", socket, "--json"])
        .output()
        .unwrap();
    let snapshot: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(snapshot["agent"]["inputs"].as_u64().unwrap() > 0);
}

/// The id of the agent's thread of this name.
fn thread(agent: &Agent, name: &str) -> String {
    let threads = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let mut ids = threads.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is = |id: &String| {
        let comm = std::fs::read_to_string(format!("/proc/{}/task/{id}/comm", agent.pid()));
        comm.is_ok_and(|comm| comm.trim() == name)
    };
    ids.find(is).unwrap_or_else(|| panic!("no thread {name}"))
}

/// A reader that hangs, as on a file of a process that hangs in the kernel: it is named, the others go on, and so does it
/// when it can.
#[test]
fn a_reader_that_hangs_is_named_until_it_goes_on() {
    need!(Root, OtlpPython);
    let [port] = free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");
    let mut agent = Agent::start(&["--hooks", "off", "--listen", &address]).unwrap();
    let wait = |wanted: (u16, String)| {
        let deadline = std::time::Instant::now() + observer_tests::agent::DEADLINE;
        loop {
            let health = TcpStream::connect(&address).ok().map(|_| get(&address, "/healthz"));
            if health.as_ref() == Some(&wanted) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{health:?}, not {wanted:?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let healthy = || (200, "ok\n".to_owned());
    for name in ["sampler", "scanner", "inspector", "rings"] {
        wait(healthy());
        let holder = places::workspace().join("tests/python/hold_thread.py");
        let mut holder = App::start(Command::new(places::python()).arg(holder).arg(thread(&agent, name))).unwrap();
        holder.ready().unwrap();
        wait((503, format!("stalled: {name}\n")));
        agent
            .messages
            .wait("the stall", observer_tests::agent::DEADLINE, |line| {
                line.contains(&format!("the {name} thread has stalled")).then_some(())
            })
            .unwrap();
        drop(holder);
        wait(healthy());
    }
}

#[test]
fn status_without_an_agent_says_so_in_one_line() {
    need!(Root);
    let output = Command::new(places::agent())
        .args(["status", "--status-socket", "/nonexistent/s"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.starts_with("observer: no observer answers at /nonexistent/s"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}
