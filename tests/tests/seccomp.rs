//! The seccomp profile that comes with the chart: an agent that does all it can do makes no other system call.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use observer_tests::{
    app::{self, App},
    backend,
    cgroup::Memcg,
    need, places,
    pod::Pod,
    ports::free_ports,
    receiver::Receiver,
    stage::Scratch,
    tls::certificates,
};
use rustix::process::{Pid, Signal, kill_process};

const SERVICE: &str = "below-seccomp";

/// Hooks, samples, growth, a heap that is read, a recording, the store, OTLP over TLS, questions: a call outside of the profile kills the
/// agent here, where it would only fail in a pod.
#[test]
fn an_agent_that_does_everything_stays_within_its_profile() {
    need!(Root, Bpf, Runc, Memory, Node, OtlpPython, Program("openssl"));
    let scratch = Scratch::new("seccomp").unwrap();
    certificates(scratch.path()).unwrap();
    let at = |name: &str| scratch.file(name).display().to_string();
    let mut receiver = Receiver::start(&["--tls", &at("server.pem"), &at("server.key")]).unwrap();
    let endpoint = format!("https://localhost:{}", receiver.port);
    let [port] = free_ports().unwrap();
    let listen = format!("127.0.0.1:{port}");
    let profile = places::workspace().join("deploy/helm/observer/files/seccomp.json");
    let pod = Pod::new()
        .unwrap()
        .killed_outside(&profile)
        .unwrap()
        .sees(scratch.path());
    let (socket, recording, authority) = (at("status.sock"), at("recording.jsonl.gz"), at("ca.pem"));
    let arguments = [
        "run",
        "--output",
        "json",
        "--sample-interval",
        "250ms",
        "--time-scale",
        "0.001",
        "--growth-tracing",
        "always",
        "--heap-workloads",
        SERVICE,
        "--heap-interval",
        "1s",
        "--listen",
        &listen,
        "--status-socket",
        &socket,
        "--record",
        &recording,
        "--metrics-interval",
        "1s",
        "--otlp-endpoint",
        &endpoint,
        "--otlp-certificate",
        &authority,
        "--otlp-compression",
        "gzip",
        "--store",
        "/var/lib/observer",
        "--state-interval",
        "1s",
    ];
    let mut child = app::dies_with_us(&mut pod.command(&arguments, &[]).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();

    let cgroup = Memcg::new(SERVICE, Some(384 << 20)).unwrap();
    let mut command = cgroup.command(&places::node().unwrap());
    command
        .arg(places::fixtures().join("checkout.js"))
        .arg("leaks")
        .env("OTEL_SERVICE_NAME", SERVICE);
    let mut service = App::start(&mut command).unwrap();
    service.ready().unwrap();
    let read = receiver.wait("a heap that was read", |record| {
        (record["event"] == "observer.memory.heap_read" && record["resource"]["service.name"] == SERVICE).then_some(())
    });
    assert_eq!(child.try_wait().unwrap(), None, "it was killed: {read:?}");
    read.unwrap();

    assert_eq!(backend::get(&listen, "/readyz").unwrap(), (200, "ok\n".to_owned()));
    for question in [&["status"][..], &["ps"], &["explain", SERVICE], &["history", SERVICE]] {
        let asked = Command::new(places::agent())
            .args(question)
            .args(["--status-socket", &socket])
            .stdout(Stdio::null())
            .status();
        assert!(asked.unwrap().success(), "{question:?}");
    }
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
