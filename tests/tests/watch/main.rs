//! `observer watch`: real commands that leak and that do not, as root and as an ordinary user; rounds of every kind; what
//! it writes, and how it ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

mod catalogue;
mod native;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Condvar, Mutex},
};

use observer_tests::{agent, app::App, need, places, stage::Scratch};

/// Seconds that programs of the catalogue are watched.
const WATCHED: &str = "14s";

fn fixture(name: &str) -> String {
    places::fixtures().join(name).display().to_string()
}

/// Commands watched at a time: more would take each other's processor, and a program that hardly runs tells nothing.
const AT_A_TIME: usize = 3;

/// Waits for one of [`AT_A_TIME`] places, and gives it back when dropped.
struct Turn;

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    fn take() -> Self {
        let taken = TAKEN.0.lock().unwrap();
        *TAKEN.1.wait_while(taken, |taken| *taken >= AT_A_TIME).unwrap() += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap() -= 1;
        TAKEN.1.notify_one();
    }
}

/// `observer watch ARGUMENTS -- COMMAND`.
fn watch(arguments: &[&str], command: &[&str]) -> Output {
    let mut all = vec!["watch"];
    all.extend(arguments);
    if !command.is_empty() {
        all.push("--");
        all.extend(command);
    }
    let mut watch = agent::command(&all);
    if let Some(directory) = places::node().as_deref().and_then(Path::parent) {
        let path = std::env::var("PATH").unwrap_or_default();
        watch.env("PATH", format!("{}:{path}", directory.display()));
    }
    let _turn = Turn::take();
    watch.current_dir(places::fixtures().join("watch")).output().unwrap()
}

/// Watches again where it could not be judged, as a busy machine leaves time for too few readings.
fn unless_busy(mut watch: impl FnMut() -> Output) -> Output {
    for _ in 0..3 {
        let output = watch();
        if output.status.code() != Some(4) {
            return output;
        }
    }
    watch()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[track_caller]
fn all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn a_suite_of_node_test_with_rounds_announced_by_lines() {
    need!(Root, Node);
    let leaks = watch(
        &["--rounds", "24", "--format", "github"],
        &["node", "--test", "leak.test.js"],
    );
    let text = ended(&leaks, 3);
    all(
        &text,
        &[
            "it leaks",
            "more Session",
            "leak.test.js:8",
            "held by sessions",
            "::error file=leak.test.js,line=8,",
            "pass 1",
        ],
    );
    ended(&watch(&["--rounds", "24"], &["node", "--test", "healthy.test.js"]), 0);
}

#[test]
fn an_npm_script() {
    need!(Root, Node, Program("npm"));
    let junit = watch(&["--rounds", "24", "--format", "junit"], &["npm", "run", "leak"]);
    ended(&junit, 3);
    let xml = String::from_utf8(junit.stdout.clone()).unwrap();
    all(
        &xml,
        &["<?xml", "failures=\"1\"", "<failure type=\"leak\"", "more Session"],
    );
    assert!(
        !xml.contains("observer: round"),
        "what the command prints goes elsewhere: {xml}"
    );
    ended(&watch(&["--rounds", "24"], &["npm", "run", "healthy"]), 0);
}

#[test]
fn ten_small_healthy_suites_raise_no_alarm() {
    need!(Root, Node);
    let node = places::node().unwrap();
    let node = node.to_str().unwrap();
    let suites = fixture("watch/suites.js");
    let listed = Command::new(node).args([suites.as_str(), "list"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!(names.len(), 10);
    for name in names {
        let output = unless_busy(|| watch(&["--rounds", "30"], &[node, &suites, name, "30"]));
        let text = text(&output);
        assert_eq!(output.status.code(), Some(0), "{name}: {text}");
    }
}

#[test]
fn rounds_by_the_clock_by_signal_and_of_a_process_that_runs_already() {
    need!(Root, Node);
    let node = places::node().unwrap();
    let node = node.to_str().unwrap();
    let program = fixture("heap/map-without-eviction.js");
    let text = ended(&watch(&["--rounds", "12", "--every", "1s"], &[node, &program]), 3);
    // On a busy machine the last reading may come a round late.
    all(&text, &[" rounds)", "{body, storedAt}", "held by responses"]);
    let script = "const kept = []; setInterval(() => { for (let i = 0; i < 1000; i++) kept.push({ text: `kept ${i}-${kept.length}` }); \
                  process.kill(Number(process.env.OBSERVER_WATCH_PID), 'SIGUSR2'); if (kept.length === 22_000) process.exit(0); }, 700)";
    let text = ended(&watch(&["--rounds", "20"], &[node, "-e", script]), 3);
    all(&text, &["it leaks", "{text}", ", 1000 in each round"]);
    let mut app = App::start(Command::new(node).arg(&program)).unwrap();
    app.ready().unwrap();
    let pid = app.pid().to_string();
    let json = watch(&["--for", WATCHED, "--pid", &pid, "--format", "json"], &[]);
    ended(&json, 3);
    let outcome: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        outcome["processes"][0]["culprits"][0]["what"], "{body, storedAt}",
        "{outcome}"
    );
    assert_eq!(outcome["verdict"], "leaks");
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok(), "it goes on");
}

#[test]
fn exit_codes_of_what_fails_of_what_is_too_short_and_of_what_is_no_node() {
    need!(Node);
    let node = places::node().unwrap();
    let node = node.to_str().unwrap();
    let text = ended(&watch(&["--for", "1m"], &[node, "-e", "process.exit(7)"]), 1);
    all(&text, &["the command failed with 7"]);
    ended(&watch(&["--for", "1m"], &[node, "-e", "0"]), 4);
    ended(
        &watch(&["--rounds", "20"], &[node, "-e", "console.log('observer: round')"]),
        4,
    );
    all(
        &ended(&watch(&["--for", "2s"], &["sleep", "60"]), 4),
        &["no Node.js process was seen"],
    );
    all(
        &ended(&watch(&["--for", "1m"], &["/nonexistent/program"]), 1),
        &["cannot start /nonexistent/program"],
    );
    all(
        &ended(&watch(&["--rounds", "4"], &[node, "-e", "0"]), 2),
        &["4 is not in 5.."],
    );
    ended(&watch(&[], &[node, "-e", "0"]), 2);
    ended(&watch(&["--for", "1s", "--pid", "4194304"], &[]), 1);
}

/// With it V8 collects early, so that levels tell more.
const MODEST: &str = "--max-old-space-size=64";

/// What an ordinary user runs with the default Node.js, so that V8 collects early.
fn as_ordinary_user(scratch: &Scratch, arguments: &[&str], flag: &str, script: &str) -> Output {
    as_user_with(scratch, &places::node().unwrap(), arguments, &[flag], script)
}

/// What an ordinary user runs: copies where they may be read, of the fixtures' library too, in the same places to one another.
fn as_user_with(scratch: &Scratch, node: &Path, arguments: &[&str], flags: &[&str], script: &str) -> Output {
    let copy = |from: &Path, name: &str| -> PathBuf {
        let to = scratch.file(name);
        if !to.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        }
        to
    };
    let observer = copy(&places::agent(), "observer");
    let node = copy(node, "node");
    for used in fs::read_dir(places::fixtures().join("lib")).unwrap() {
        let used = used.unwrap();
        copy(&used.path(), &format!("lib/{}", used.file_name().to_str().unwrap()));
    }
    let script = copy(&places::fixtures().join(script), script);
    let mut parent = scratch.path();
    while parent != Path::new("/tmp") && parent != Path::new("/") {
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        parent = parent.parent().unwrap();
    }
    let _turn = Turn::take();
    Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--",
        ])
        .arg(observer)
        .arg("watch")
        .args(arguments)
        .arg("--")
        .arg(node)
        .args(flags)
        .arg(script)
        .current_dir("/tmp")
        .output()
        .unwrap()
}

#[test]
fn an_ordinary_user_watches_children_of_their_own() {
    need!(Root, Node, Program("setpriv"));
    let scratch = Scratch::new("ordinary").unwrap();
    let leaks = as_ordinary_user(&scratch, &["--for", WATCHED], MODEST, "heap/map-without-eviction.js");
    all(&ended(&leaks, 3), &["{body, storedAt}", "held by responses"]);
    ended(
        &as_ordinary_user(&scratch, &["--for", WATCHED], MODEST, "heap/healthy-lru.js"),
        0,
    );
    // By levels alone: what grows fast is told, and what stays level; nothing is named.
    let leaks = as_ordinary_user(&scratch, &["--for", "30s", "--no-heap"], MODEST, "watch/native.js");
    all(&ended(&leaks, 3), &["its memory grows", "--no-heap"]);
    ended(
        &as_ordinary_user(&scratch, &["--for", "10s", "--no-heap"], MODEST, "watch/idle.js"),
        0,
    );
}

#[test]
fn a_process_whose_parent_has_gone_is_found_in_the_commands_own_cgroup() {
    need!(Root, Node);
    let program = fixture("heap/map-without-eviction.js");
    let command = format!("(setsid node {program} &); exec sleep 60");
    let mut watch = agent::command(&["watch", "--for", "12s", "--format", "json", "--", "sh", "-c", &command]);
    let node = places::node().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    watch.env("PATH", format!("{}:{path}", node.parent().unwrap().display()));
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let name = format!("observer-watch-{}", watch.id());
    let output = watch.wait_with_output().unwrap();
    let text = ended(&output, 3);
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["processes"][0]["verdict"], "leaks", "{text}");
    let memory = &outcome["memory"];
    assert!(memory["highest_bytes"].as_u64() > Some(5 << 20), "{text}");
    assert!(
        memory["highest_bytes"].as_u64() >= memory["last_bytes"].as_u64(),
        "{text}"
    );
    let left = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &name])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "it is removed again");
    let running = Command::new("pgrep").args(["-f", &program]).output().unwrap();
    let running = String::from_utf8_lossy(&running.stdout).into_owned();
    let still = running.lines().filter(|pid| {
        let of = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        of.contains(&name)
    });
    assert_eq!(still.count(), 0, "{running}");
}
