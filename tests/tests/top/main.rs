//! `observer top` on a real terminal: screens as a person sees them, keys pressed, the terminal given back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod screen;

use observer_tests::{
    agent::{self, Agent},
    app::App,
    need, places,
    stage::Scratch,
};
use rustix::process::{Pid, Signal, kill_process};
use screen::Screen;

/// A recording on hold, at its beginning.
fn played(columns: u16, rows: u16, more: &[&str]) -> Screen {
    let file = places::workspace().join("tests/recordings/listener.jsonl.gz");
    let file = file.display().to_string();
    let arguments = [&["top", "--from", &file, "--speed", "1"][..], more].concat();
    Screen::start(&mut agent::command(&arguments), columns, rows).unwrap()
}

fn fits(text: &str, columns: usize) {
    assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
}

#[test]
fn a_recording_is_stepped_through_opened_searched_and_left() {
    let mut screen = played(80, 24, &["--paused"]);
    screen
        .wait("the board", |text| text.contains("SERVICE") && text.contains("on hold"))
        .unwrap();
    assert!(screen.is_taken_over());
    // Ten seconds of the recording a step, to its end.
    let ended = |text: &str| text.contains("its end");
    for _ in 0..200 {
        if ended(&screen.text()) {
            break;
        }
        let before = screen.text();
        screen.press(".").unwrap();
        screen.wait("a step", |text| text != before).unwrap();
    }
    let text = screen.wait("its end", ended).unwrap();
    fits(&text, 80);
    assert!(text.contains("listener"), "{text}");
    screen.press("\r").unwrap();
    let text = screen.wait("it opened", |text| text.contains("Esc back")).unwrap();
    fits(&text, 80);
    assert!(
        text.contains("findings, the newest first") && text.contains("leak"),
        "{text}"
    );
    assert!(text.contains("ceiling"), "{text}");
    screen.press("\x1b").unwrap();
    screen.wait("the list", |text| text.contains("SERVICE")).unwrap();
    screen.press("/nobody\r").unwrap();
    screen.wait("nothing found", |text| text.contains("0 lives")).unwrap();
    screen.press("\x1b").unwrap();
    screen.wait("all again", |text| text.contains("listener")).unwrap();
    screen.resize(140, 30).unwrap();
    let text = screen.wait("a wider board", |text| text.contains("INSTANCE")).unwrap();
    fits(&text, 140);
    screen.press("q").unwrap();
    let (status, restored) = screen.end().unwrap();
    assert!(status.success() && restored, "{status} {}", screen.text());
}

#[test]
fn the_terminal_is_as_it_was_after_a_signal() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut screen = played(80, 24, &[]);
        screen.wait("the board", |text| text.contains("SERVICE")).unwrap();
        let pid = Pid::from_raw(i32::try_from(screen.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let (status, restored) = screen.end().unwrap();
        assert!(status.success() && restored, "{signal:?}: {status} {}", screen.text());
    }
}

/// The session of the terminal is not the program's: it gets no signal by itself, as under `kubectl exec -it`.
#[test]
fn it_ends_when_its_terminal_goes() {
    let screen = played(80, 24, &[]);
    screen.wait("the board", |text| text.contains("SERVICE")).unwrap();
    screen.hang_up().unwrap();
}

#[test]
fn ascii_and_no_colour() {
    let mut screen = played(80, 24, &["--plain"]);
    let text = screen.wait("the board", |text| text.contains("SERVICE")).unwrap();
    assert!(text.is_ascii(), "{text}");
    screen.press("q").unwrap();
    screen.end().unwrap();
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let output = agent::command(&["top"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("observer ps"), "{said}");
}

/// The running agent, a service that comes and goes, and what is shown when the agent goes.
#[test]
fn the_running_agent_is_shown_live() {
    need!(Root, Node);
    let scratch = Scratch::new("top").unwrap();
    let socket = scratch.file("socket").display().to_string();
    let agent = Agent::start(&["--status-socket", &socket]).unwrap();
    let arguments = ["top", "--status-socket", &socket, "--interval", "1"];
    let mut screen = Screen::start(&mut agent::command(&arguments), 140, 40).unwrap();
    screen.wait("the board", |text| text.contains("SERVICE")).unwrap();
    let app = App::fixture("cache.js", &[]).unwrap();
    let pid = format!("pid {}", app.pid());
    screen.wait("the service", |text| text.contains(&pid)).unwrap();
    screen.press("/fixtures\r").unwrap();
    screen.wait("the service alone", |text| text.contains(&pid)).unwrap();
    screen.press("\r").unwrap();
    screen.wait("it opened", |text| text.contains("run 1 of pid")).unwrap();
    screen.press("\x1b").unwrap();
    drop(app);
    screen
        .wait("its end", |text| text.contains("ended") && !text.contains(&pid))
        .unwrap();
    agent.stop().unwrap();
    screen
        .wait("why nothing is new", |text| text.contains("no observer answers"))
        .unwrap();
    screen.press("q").unwrap();
    let (status, restored) = screen.end().unwrap();
    assert!(status.success() && restored, "{status}");
}
