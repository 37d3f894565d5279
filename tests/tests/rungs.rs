//! The agent on each rung of its hooks and on either cgroup version, without a container engine: Node.js in a memory
//! cgroup made by hand is found, ends for real, and is told of as what it was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use observer_core::{
    What,
    kernel::{ExitStatus, KernelEvent},
};
use observer_tests::{
    agent::{self, Agent},
    app::App,
    cgroup::Memcg,
    need, places, tracefs,
};
use serde_json::Value;

const MIB: u64 = 1 << 20;

/// Runs a fixture below a limit and waits until the agent has a sample of it: victims are described from what was known.
fn watched(agent: &mut Agent, name: &str, limit: u64, fixture: &str, arguments: &[&str]) -> (Memcg, App) {
    let cgroup = Memcg::new(name, Some(limit * MIB)).unwrap();
    let mut command = cgroup.command(&places::node().unwrap());
    command
        .arg(places::fixtures().join(fixture))
        .args(arguments)
        .env("OTEL_SERVICE_NAME", name);
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    let pid = app.pid();
    agent
        .wait_input("a sample of the program", |input| match &input.what {
            What::Sample(sample) => (sample.process.pid == pid).then_some(()),
            _ => None,
        })
        .unwrap();
    (cgroup, app)
}

/// The first finding of this kind about this service.
fn finding(agent: &mut Agent, event: &str, service: &str) -> Value {
    agent
        .wait_finding(&format!("{event} of {service}"), |finding| {
            let ours = finding["resource"]["service.name"] == service && finding["event"] == event;
            ours.then(|| finding.clone())
        })
        .unwrap()
}

/// The exit of this process as the kernel told it.
fn exit(agent: &mut Agent, pid: u32) -> (Option<ExitStatus>, Option<u64>) {
    agent
        .wait_input("the exit", |input| match &input.what {
            What::Kernel(KernelEvent::Exit {
                process,
                status,
                peak_rss,
                ..
            }) if process.pid == pid => Some((*status, *peak_rss)),
            _ => None,
        })
        .unwrap()
}

fn a_kill_for_memory(rung: &str, service: &str) {
    let mut agent = Agent::start(&["--hooks", rung]).unwrap();
    let leak = ["--what", "buffer", "--mb", "60"];
    let (cgroup, mut app) = watched(&mut agent, service, 128, "leak.js", &leak);
    app.tell("go").unwrap();
    assert_eq!(app.wait().unwrap(), 137);
    let (status, peak) = exit(&mut agent, app.pid());
    assert_eq!(status, Some(ExitStatus::Signal(9)));
    // Its own peak, pages of its program's file among them, which the cgroup may not be charged for.
    assert!(
        peak.is_none_or(|peak| (96 * MIB..256 * MIB).contains(&peak)),
        "{peak:?}"
    );
    let oom = finding(&mut agent, "observer.process.oom_kill", service);
    let of = |name: &str| &oom["attributes"][name];
    assert_eq!(of("observer.oom.killer"), "kernel", "{oom:#}");
    assert_eq!(of("process.pid"), app.pid(), "{oom:#}");
    assert_eq!(of("observer.memory.limit"), 128 * MIB, "{oom:#}");
    drop(cgroup);
}

#[test]
fn a_kill_for_memory_by_tp_btf() {
    need!(Root, Bpf, Memory, Node);
    a_kill_for_memory("auto", "killed-btf");
}

#[test]
fn a_kill_for_memory_by_tracepoint() {
    need!(Root, Bpf, Memory, Node, Tracefs);
    tracefs::mounted_here().unwrap();
    a_kill_for_memory("tracepoint", "killed-plain");
}

/// V8's limit is reached within one interval of samples, in a heap that was small when last seen. Kernels from 6.16 on
/// tell its largest size with the exit, and the death is what it was; older ones leave it a crash, and inferred.
#[test]
fn a_heap_that_fills_between_two_samples() {
    need!(Root, Bpf, Memory, Node);
    let mut agent = Agent::spawn(&mut agent::command(&[
        "run",
        "--output",
        "json",
        "--sample-interval",
        "10s",
    ]))
    .unwrap();
    agent
        .wait_input("its beginning", |input| {
            matches!(input.what, What::Begin(_)).then_some(())
        })
        .unwrap();
    let service = "fast-heap";
    let cgroup = Memcg::new(service, Some(1024 * MIB)).unwrap();
    let mut command = cgroup.command(&places::node().unwrap());
    command
        .args(["--max-old-space-size=96", "-e", "console.log('\"ready\"'); process.stdin.once('data', () => { const kept = []; for (;;) kept.push(Array.from({ length: 4096 }, (_, j) => j / 3)); })"])
        .env("OTEL_SERVICE_NAME", service);
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    let pid = app.pid();
    agent
        .wait_input("a sample of the program", |input| match &input.what {
            What::Sample(sample) => (sample.process.pid == pid).then_some(()),
            _ => None,
        })
        .unwrap();
    app.tell("go").unwrap();
    let code = app.wait().unwrap();
    assert!([133, 134].contains(&code), "SIGABRT, or a trap: {code}");
    if exit(&mut agent, pid).1.is_none() {
        need::record(
            "rungs::a_heap_that_fills_between_two_samples",
            "this kernel tells no peak with an exit",
        );
        return;
    }
    let heap = finding(&mut agent, "observer.v8.heap_oom", service);
    let rss = heap["attributes"]["observer.memory.rss"].as_u64();
    assert!(rss.is_some_and(|rss| rss > 96 * MIB), "{heap:#}");
}
