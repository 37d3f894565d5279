//! Services with names nobody would choose, on every way out to a person: what their bytes would do to a terminal is not
//! done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_tests::{
    agent::{self, Agent},
    app::App,
    need, places,
    stage::Scratch,
};

/// Escape sequences, overrides, line breaks, what is not to be seen. A long one comes with them.
const NAMES: [&str; 4] = [
    "\x1b[31mred\u{202e}",
    "two\nlines\rover",
    "\u{9b}2J\u{200b}gone",
    "\x1b]0;title\x07",
];

fn long() -> String {
    "n".repeat(1_000)
}

/// Control characters but line ends, and what turns text round or is not to be seen.
#[track_caller]
fn harmless(what: &str, page: &str) {
    let bad = |c: &char| {
        c.is_control() && *c != '\n'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    let found: Vec<char> = page.chars().filter(bad).collect();
    assert!(found.is_empty(), "{what}: {found:?} in\n{page:.3000}");
}

/// What a command prints on both streams.
fn printed(arguments: &[&str]) -> (String, String) {
    let output = agent::command(arguments).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn real_processes_with_hostile_names_do_nothing_to_a_terminal() {
    need!(Root, Node);
    let scratch = Scratch::new("hostile").unwrap();
    let socket = scratch.file("socket").display().to_string();
    let mut agent = Agent::start(&["--status-socket", &socket]).unwrap();
    let long = long();
    let names: Vec<&str> = NAMES.into_iter().chain([long.as_str()]).collect();
    let apps: Vec<App> = names
        .iter()
        .enumerate()
        .map(|(nth, name)| {
            let directory = scratch.file(&format!("app-{nth}"));
            fs::create_dir(&directory).unwrap();
            let package = serde_json::json!({"name": name, "version": name});
            fs::write(directory.join("package.json"), package.to_string()).unwrap();
            let script = directory.join("index.js");
            fs::write(&script, "setInterval(() => {}, 1000); console.log('{\"ready\":true}');").unwrap();
            let mut command = Command::new(places::node().unwrap());
            command.arg(script);
            let mut app = App::start(&mut command).unwrap();
            app.ready().unwrap();
            app
        })
        .collect();
    for app in &apps {
        agent
            .wait_input("a level of each", |input| match &input.what {
                observer_core::What::Sample(sample) => (sample.process.pid == app.pid()).then_some(()),
                _ => None,
            })
            .unwrap();
    }

    let socket = ["--status-socket", socket.as_str()];
    let (page, _) = printed(&[&["ps"], &socket[..]].concat());
    harmless("ps", &page);
    assert!(page.contains(r"\x1b[31mred\u{202e}"), "{page}");
    assert!(page.contains(r"two\nlines\rover"), "{page}");
    for app in &apps {
        let pid = format!(" pid {} ", app.pid());
        let rows: Vec<&str> = page.lines().filter(|line| line.contains(&pid)).collect();
        assert!(
            matches!(rows[..], [row] if row.contains(" quiet ") && row.ends_with(" s")),
            "{page}"
        );
    }
    assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
    let (json, _) = printed(&[&["ps", "--json"], &socket[..]].concat());
    harmless("ps --json", &json);
    let workloads: serde_json::Value = serde_json::from_str(&json).unwrap();
    for name in &names {
        let known = |view: &serde_json::Value| view["service"] == *name;
        assert!(workloads.as_array().unwrap().iter().any(known), "the very name: {json}");
    }
    harmless("status", &printed(&[&["status"], &socket[..]].concat()).0);
    harmless(
        "status --json",
        &printed(&[&["status", "--json"], &socket[..]].concat()).0,
    );
    for name in &names {
        for command in ["explain", "history"] {
            let (page, messages) = printed(&[&[command, *name], &socket[..]].concat());
            assert!(!page.is_empty(), "{command}: {messages:.500}");
            harmless(command, &page);
            harmless(command, &messages);
        }
    }
    let unknown = printed(&[&["explain", "\x1b[31m\u{202e}nobody"], &socket[..]].concat());
    assert!(unknown.1.contains("nobody"), "{}", unknown.1);
    harmless("an unknown name", &unknown.1);
    let wrong = printed(&["ps", "--\x1b[31m\u{202e}"]);
    assert!(wrong.1.contains(r"\u{202e}"), "{}", wrong.1);
    harmless("a wrong argument", &wrong.1);

    drop(apps);
    let stopped = agent.stop().unwrap();
    harmless("the agent's messages", &stopped.messages.join("\n"));
    harmless("its findings", &stopped.findings.join("\n"));
    let recording = stopped.recording.display().to_string();
    for name in &names {
        for arguments in [
            vec!["replay", &recording, "--output", "human"],
            vec!["replay", &recording, "--chart", name],
            vec!["explain", "--from", &recording, name],
        ] {
            let (page, messages) = printed(&arguments);
            harmless(arguments[0], &page);
            harmless(arguments[0], &messages);
        }
    }
}

/// A history names its series; anybody may have written it.
#[test]
fn a_history_with_hostile_series_does_nothing_to_a_terminal() {
    let scratch = Scratch::new("hostile-history").unwrap();
    let file = scratch.file("history.csv");
    let long = long();
    let mut rows = "series,t,anon,limit\n".to_owned();
    for name in NAMES.into_iter().chain([long.as_str()]) {
        for step in 0..600u64 {
            let level = (64 << 20) + step * (1 << 20);
            rows += &format!("\"{name}\",{},{level},{}\n", step * 60, 1u64 << 30);
        }
    }
    fs::write(&file, rows).unwrap();
    let file = file.display().to_string();
    for output in ["human", "json"] {
        let (page, messages) = printed(&["replay", &file, "--format", "csv", "--format-out", output]);
        assert!(page.lines().count() >= NAMES.len(), "{page:.500}{messages:.500}");
        harmless(output, &page);
        harmless(output, &messages);
        if output == "json" {
            let series: Vec<String> = page
                .lines()
                .map(|line| {
                    serde_json::from_str::<serde_json::Value>(line).unwrap()["series"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
                .collect();
            assert!(
                NAMES.iter().all(|name| series.iter().any(|series| series == name)),
                "{series:?}"
            );
        } else {
            assert!(page.lines().all(|line| line.chars().count() < 1_500));
        }
    }
    for name in NAMES {
        let (page, messages) = printed(&["explain", name, "--from", &file, "--format", "csv"]);
        assert!(page.contains("GiB"), "{page}{messages}");
        harmless("explain", &page);
    }
    harmless(
        "unknown",
        &printed(&["explain", "nobody", "--from", &file, "--format", "csv"]).1,
    );
}
