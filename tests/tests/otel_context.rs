//! A real process that publishes its Resource as OTEP 4719 says: its findings stand on the instance that its own spans name,
//! also after it has changed, and nobody else's place is taken by it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod published;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use observer_core::What;
use observer_tests::{
    agent::{Agent, DEADLINE},
    app::App,
    need, places,
    stage::Scratch,
};
use published::resource;

/// The Resource of the service `name`, as the running agent has it. Other tests' programs run on this host, and are of the same
/// package: of the same workload.
fn shown(socket: &Path, name: &str) -> Option<serde_json::Value> {
    let output = Command::new(places::agent())
        .args(["status", "--json", "--status-socket"])
        .arg(socket)
        .output()
        .unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let workloads = status["workloads"].as_array()?.iter();
    let mut resources = workloads
        .flat_map(|workload| workload["slots"].as_array().into_iter().flatten())
        .map(|slot| &slot["current"]["resource"]);
    resources.find(|resource| resource["service.name"] == name).cloned()
}

#[test]
fn the_resource_that_an_application_publishes_is_its_identity() {
    need!(Root, Bpf, Node, Program("cc"));
    let directory = Scratch::new("published").unwrap();
    let library = directory.file("otel_context.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-pthread", "-o"])
        .arg(&library)
        .arg(places::fixtures().join("otel_context.c"))
        .status()
        .unwrap();
    assert!(built.success());
    let socket = directory.file("status.sock");
    let mut agent = Agent::start(&["--status-socket", &socket.display().to_string()]).unwrap();
    let first = [
        ("service.name", "published"),
        ("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
        ("k8s.pod.name", "victim"),
        ("process.command_line", "node --token=secret"),
    ];
    let second = [("service.name", "published"), ("service.instance.id", "another")];
    let mut command = Command::new(places::node().unwrap());
    command
        .arg(places::fixtures().join("end.js"))
        .env("LD_PRELOAD", &library)
        .env("OTEL_CTX_FIRST", resource(&first))
        .env("OTEL_CTX_SECOND", resource(&second));
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    let mut published = |instance: &str| {
        agent
            .wait_input("the published Resource", |input| match &input.what {
                What::Resource(published) => {
                    let same = published.attributes.get("service.instance.id").map(String::as_str) == Some(instance);
                    same.then(|| published.attributes.clone())
                }
                _ => None,
            })
            .unwrap()
    };
    let attributes = published("627cc493-f310-47de-96bd-71410b7dec09");
    assert!(!attributes.contains_key("process.command_line"), "{attributes:?}");
    // It has changed meanwhile, and is read again.
    published("another");
    let deadline = Instant::now() + DEADLINE;
    let shown = loop {
        let shown = shown(&socket, "published");
        if let Some(resource) = shown.filter(|resource| resource["service.instance.id"] == "another") {
            break resource;
        }
        assert!(Instant::now() < deadline, "the agent does not show it");
        // The look-out for a state that announces nothing.
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(shown["k8s.pod.name"], serde_json::Value::Null, "{shown:#}");
    let recording = std::fs::read_to_string(agent.recording()).unwrap();
    assert!(!recording.contains("token=secret"));
}
