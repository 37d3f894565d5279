//! `observer memory`: programs whose memory is of one kind, in cgroups and containers of their own: the kind is named, and the
//! parts add up to what the kernel charges.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

mod allocators;
mod classes;
mod kinds;

use std::{path::Path, process::Command, time::Duration};

use observer_tests::{agent, app::App, cgroup::Memcg, pace, places};
use serde_json::Value;

/// Parts add up to the cgroup's usage but for this share of it.
const UNEXPLAINED: f64 = 0.03;
/// The kernel charges each processor ahead by up to 64 pages, and counts by kind as many behind (`MEMCG_CHARGE_BATCH`,
/// mm/memcontrol.c), bytes: they matter in a program of a few MiB.
const AHEAD: f64 = 2.0 * 262_144.0;
/// How far two readings are apart.
const APART: Duration = Duration::from_secs(3);

fn apart() -> String {
    format!("{}s", pace::stretched(APART).as_secs())
}

/// What `observer memory ARGUMENTS --json` says.
#[track_caller]
fn memory(arguments: &[&str]) -> Value {
    let all = [&["memory"], arguments, &["--json"]].concat();
    let output = agent::command(&all).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One reading, whose parts add up.
#[track_caller]
fn now(target: &str) -> Value {
    let told = memory(&[target]);
    adds_up(&told);
    told
}

/// Two readings, each of which adds up.
#[track_caller]
fn grown(target: &str) -> Value {
    let told = memory(&[target, "--diff", &apart()]);
    adds_up(&told["before"]);
    adds_up(&told["after"]);
    told
}

#[track_caller]
fn adds_up(container: &Value) {
    let parts = container["parts"].as_object().unwrap();
    let sum: i64 = parts.values().map(|bytes| bytes.as_i64().unwrap()).sum();
    let (usage, unexplained) = (&container["bytes"], &container["unexplained_bytes"]);
    let (usage, unexplained) = (usage.as_i64().unwrap(), unexplained.as_i64().unwrap());
    assert_eq!(usage - sum, unexplained, "{container:#}");
    let processors = std::thread::available_parallelism().unwrap().get() as f64;
    let most = (usage as f64 * UNEXPLAINED).max(AHEAD * processors);
    assert!(
        container["cgroup"].is_string() && unexplained.abs() as f64 <= most,
        "{most}: {container:#}"
    );
}

/// What the sentence is about.
#[track_caller]
fn is_about(told: &Value, kind: &str, words: &[&str]) {
    let meaning = &told["meaning"];
    assert_eq!(meaning["kind"], kind, "{told:#}");
    let sentence = meaning["sentence"].as_str().unwrap();
    for word in words {
        assert!(sentence.contains(word), "no {word:?}: {sentence}");
    }
}

/// A program in a cgroup of its own.
struct InCgroup {
    app: App,
    memory: Memcg,
}

impl InCgroup {
    fn start(name: &str, program: &Path, arguments: &[&str]) -> Self {
        Self::command(name, |memory| {
            let mut command = memory.command(program);
            command.args(arguments);
            command
        })
    }

    /// What `of` makes of the path of a program, in a cgroup.
    fn command(name: &str, of: impl FnOnce(&Memcg) -> Command) -> Self {
        let memory = Memcg::new(name, None).unwrap();
        let mut app = App::start(&mut of(&memory)).unwrap();
        app.ready().unwrap();
        Self { app, memory }
    }

    /// A fixture with the default Node.js.
    fn node(name: &str, script: &str, arguments: &[&str]) -> Self {
        Self::with(&places::node().unwrap(), name, script, arguments)
    }

    fn with(node: &Path, name: &str, script: &str, arguments: &[&str]) -> Self {
        let script = places::fixtures().join(script).display().to_string();
        // So that V8 collects when it is told to, and not when a program has been idle for some seconds.
        let flags = ["--expose-gc", "--max-old-space-size=2000", "--no-memory-reducer"];
        let all = [flags.as_slice(), &[script.as_str()], arguments].concat();
        Self::start(name, node, &all)
    }

    fn pid(&self) -> String {
        self.app.pid().to_string()
    }
}

/// Bytes of some parts together.
fn part(container: &Value, names: &[&str]) -> u64 {
    let bytes = |name: &&str| container["parts"][name].as_u64().unwrap_or(0);
    names.iter().map(bytes).sum()
}
