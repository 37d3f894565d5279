//! `observer explain`: of a history, of a recording, and of the running agent.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{cell::Cell, fmt::Write as _, fs, time::Duration};

use observer_core::What;
use observer_tests::{
    agent::{self, Agent},
    bundle::Spec,
    container::{Container, Restart},
    need, places,
};

/// Standard output where it succeeds, standard error where it does not.
fn explain(arguments: &[&str]) -> Result<String, String> {
    let output = agent::command(&["explain"]).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

fn all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

/// 64 to 512 MB in six hours, twice.
fn incident() -> String {
    let mut text = "series,t,anon,limit,run,end\n".to_owned();
    for i in 0..720u64 {
        let level = (64 << 20) + (i % 360) * (448 << 20) / 360;
        let end = if i % 360 == 359 { "kernel_oom" } else { "" };
        writeln!(text, "shop/cart,{},{level},536870912,{},{end}", i * 60, i / 360).unwrap();
        writeln!(text, "shop/quiet,{},67108864,536870912,0,", i * 60).unwrap();
        // A cache that fills to two fifths of the limit.
        let filled = (64 << 20) + (150.0 * 1_048_576.0 * (1.0 - (-(i as f64) / 120.0).exp())) as u64;
        writeln!(text, "shop/fills,{},{filled},536870912,0,", i * 60).unwrap();
    }
    text
}

#[test]
fn a_history_is_explained_in_sentences_and_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("history.csv");
    fs::write(&file, incident()).unwrap();
    let from = ["--from", file.to_str().unwrap(), "--format", "csv", "--width", "80"];
    let of = |name: &str, more: &[&str]| explain(&[&[name], &from[..], more].concat());
    let text = of("shop/cart", &[]).unwrap();
    let parts = [
        "a leak is confirmed",
        "511 MiB",
        "Run 1: lived 5 h 59 min",
        "kernel_oom 2x",
        "suspected after",
        "likely after",
    ];
    all(&text, &parts);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let plain = of("shop/cart", &["--plain"]).unwrap();
    assert!(plain.is_ascii(), "{plain}");
    let quiet = of("shop/quiet", &[]).unwrap();
    let nearest = [
        "nothing is said of it",
        "64 MiB",
        "It came nearest with",
        "no  grown by enough: 0.0 MiB (at least 31 MiB)",
    ];
    all(&quiet, &nearest);
    all(
        &of("shop/fills", &[]).unwrap(),
        &["nothing is said of it", "yes grown by enough", "no "],
    );
    all(
        &of("shop/crat", &[]).unwrap_err(),
        &["nothing is known of \"shop/crat\"", "shop/cart"],
    );
}

#[test]
fn a_recording_of_a_real_leak_is_explained() {
    let file = places::workspace().join("tests/recordings/listener.jsonl.gz");
    let text = explain(&["listener", "--from", file.to_str().unwrap()]).unwrap();
    all(
        &text,
        &["a leak is confirmed", "kernel_oom", "runs that climbed alike: 2"],
    );
}

/// What one recording is told of, without line breaks.
fn recorded(name: &str) -> String {
    let file = places::workspace().join(format!("tests/recordings/{name}.jsonl.gz"));
    let text = explain(&[name, "--from", file.to_str().unwrap()]).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn kills_and_limits_that_do_not_fit_are_not_nothing() {
    let late = recorded("late");
    all(
        &late,
        &[
            "late: no leak is told of it, but it died at its ceiling once",
            "It came close to its ceiling: late",
            "Its ceiling is 247 MiB: the level at which earlier runs died.",
        ],
    );
    let lru = recorded("lru");
    all(
        &lru,
        &["lru: no leak is told of it, but its limits do not fit each other"],
    );
    assert!(
        !late.contains("nothing is said") && !lru.contains("nothing is said"),
        "{late}\n{lru}"
    );
}

#[test]
fn growth_outside_v8_s_heap_is_given_no_flag_of_v8_s() {
    for name in ["buffers", "native", "children"] {
        let text = recorded(name);
        assert!(
            !text.contains("--max-old-space-size") && !text.contains("may end it before"),
            "{text}"
        );
    }
    // In the heap it is: V8's limit is what ends this one.
    all(&recorded("closure"), &["--max-old-space-size=202 fits its container"]);
}

#[test]
fn of_two_runs_neither_is_told_for_both_and_the_first_version_seen_for_the_cause() {
    let text = recorded("listener");
    all(
        &text,
        &[
            "(from run to run 77 MiB/min to 85 MiB/min)",
            "growth of 81 MiB/min (from run to run",
            "it died at its ceiling twice",
            "No version before 1.4.2 was seen",
            "Now it stands at ",
        ],
    );
    assert!(
        !text.contains("It came with version") && !text.contains("99 % interval"),
        "{text}"
    );
}

#[test]
fn what_is_no_recording_is_told_with_what_reads_it() {
    let asked = explain(&["shop", "--from", "http://127.0.0.1:9090"]).unwrap_err();
    all(&asked, &["observer report shop --from http://127.0.0.1:9090"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("history.csv");
    fs::write(&file, incident()).unwrap();
    let asked = explain(&["shop/cart", "--from", file.to_str().unwrap()]).unwrap_err();
    all(&asked, &["--format csv"]);
}

#[test]
fn the_running_agent_explains_what_it_said() {
    need!(Root, Bpf, Runc, Node);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let socket = socket.to_str().unwrap();
    let mut agent = Agent::start(&["--time-scale", "0.001", "--status-socket", socket]).unwrap();
    let fixture = ["--what", "buffer", "--mb", "8", "--wait", "no"];
    let spec = Spec::fixture("explained", Some(160 << 20), "leak.js", &fixture).with("OTEL_SERVICE_NAME", "explained");
    let _container = Container::start(spec, Restart::After(Duration::from_millis(300))).unwrap();
    let id = agent
        .wait_finding("a report of a leak", |finding| {
            let event = finding["event"].as_str()?;
            let told = event.ends_with("leak_likely") || event.ends_with("leak_confirmed");
            (told && finding["resource"]["service.name"] == "explained")
                .then(|| finding["attributes"]["observer.finding.id"].as_str().map(str::to_owned))?
        })
        .unwrap();
    for name in ["explained", id.as_str()] {
        let text = explain(&[name, "--status-socket", socket, "--plain"]).unwrap();
        all(&text, &["explained: a leak is", "The floor", "Because"]);
        // Drawn from what the agent remembers.
        assert!(text.matches('*').count() > 10, "{text}");
    }
    // Of one that does not leak it tells what was asked, and how near it came; V8 may grow its heap beyond the container's limit.
    let healthy = Spec::fixture(
        "healthy",
        Some(160 << 20),
        "growth.js",
        &["--program", "lru", "--mb", "8"],
    )
    .with("OTEL_SERVICE_NAME", "healthy");
    let _healthy = Container::ready(healthy, Restart::Never).unwrap();
    let seen = Cell::new(0);
    agent
        .wait_input("enough levels of it for a window", |input| {
            let What::Sample(sample) = &input.what else { return None };
            let limit = sample.cgroup.as_ref()?.limit.as_ref()?;
            seen.set(seen.get() + u32::from(limit.cgroup.ends_with("healthy")));
            (seen.get() >= 24).then_some(())
        })
        .unwrap();
    let text = explain(&["healthy", "--status-socket", socket, "--plain"]).unwrap();
    all(
        &text,
        &[
            "no leak is told of it, but its limits do not fit each other",
            "It came nearest with",
            "What was asked, and what was measured when it came nearest",
        ],
    );
    // It names some of those there are, and others run on this host.
    all(
        &explain(&["nobody", "--status-socket", socket]).unwrap_err(),
        &["nothing is known of \"nobody\"; there are"],
    );
}
