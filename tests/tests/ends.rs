//! Why a run ended, each cause made to happen: exit codes, signals and their sender, the kernel's OOM killer, V8's heap
//! limit, and which of the two it was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Result;
use observer_core::What;
use observer_tests::{
    agent::Agent,
    bundle::Spec,
    container::{Container, Restart},
    need, places,
};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const SOON: Restart = Restart::After(Duration::from_millis(300));

const RESTART: &str = "observer.container.restart";
const OOM_KILL: &str = "observer.process.oom_kill";
const HEAP_OOM: &str = "observer.v8.heap_oom";

/// A container whose service is named after its test, seen by the agent before anything happens to it.
struct Watched {
    agent: Agent,
    container: Container,
    name: &'static str,
    /// Pid of the Node.js process on the host.
    pid: u32,
}

impl Watched {
    fn start(name: &'static str, spec: Spec) -> Result<Self> {
        let mut agent = Agent::start(&[])?;
        let container = Container::ready(spec.with("OTEL_SERVICE_NAME", name), SOON)?;
        let cgroup = container.cgroup();
        // Victims are described from what was known of them before: an end must come after that.
        let pid = agent.wait_input("the container's process", |input| match &input.what {
            What::Process(facts) if facts.cgroup == cgroup && facts.is_watched() => Some(facts.key.pid),
            _ => None,
        })?;
        Ok(Self {
            agent,
            container,
            name,
            pid,
        })
    }

    fn end(name: &'static str) -> Spec {
        Spec::fixture(name, Some(512 * MIB), "end.js", &[])
    }

    /// A leak that starts when told to.
    fn leak(name: &'static str, limit: u64, what: &str, mb: u32) -> Spec {
        Spec::fixture(
            name,
            Some(limit * MIB),
            "leak.js",
            &["--what", what, "--mb", &mb.to_string()],
        )
    }

    /// The first event of this kind about this service.
    fn event(&mut self, event: &str) -> Result<Value> {
        first_event(&mut self.agent, self.name, event)
    }

    /// What the restart says of the end before it.
    fn cause(&mut self) -> Result<(String, Value)> {
        let restart = self.event(RESTART)?;
        let cause = restart["attributes"]["observer.exit.cause"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok((cause, restart))
    }

    /// Whether an event of this kind about this service has been seen by now.
    fn has(&mut self, event: &str) -> bool {
        let name = self.name;
        let lines = self.agent.findings.so_far().iter();
        let mut findings = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        findings.any(|finding| finding["resource"]["service.name"] == name && finding["event"] == event)
    }
}

/// The first event of this kind about a service.
fn first_event(agent: &mut Agent, service: &str, event: &str) -> Result<Value> {
    agent.wait_finding(&format!("{event} of {service}"), |finding| {
        let ours = finding["resource"]["service.name"] == service && finding["event"] == event;
        ours.then(|| finding.clone())
    })
}

fn kill(signal: &str, pid: u32) {
    // A process of its own, so that it is seen as the sender.
    let status = Command::new("/bin/kill").args([signal, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn an_exit_code() {
    need!(Root, Bpf, Runc, Node);
    let mut watched = Watched::start("exit-code", Watched::end("exit-code")).unwrap();
    watched.container.tell("exit 3").unwrap();
    let (cause, restart) = watched.cause().unwrap();
    assert_eq!(cause, "error_exit", "{restart:#}");
    assert_eq!(restart["attributes"]["process.exit.code"], 3, "{restart:#}");
}

#[test]
fn an_orderly_end() {
    need!(Root, Bpf, Runc, Node);
    let mut watched = Watched::start("orderly", Watched::end("orderly")).unwrap();
    watched.container.tell("exit 0").unwrap();
    let (cause, restart) = watched.cause().unwrap();
    assert_eq!(cause, "completed", "{restart:#}");
}

#[test]
fn sigterm_and_who_sent_it() {
    need!(Root, Bpf, Runc, Node);
    let spec = Watched::end("sigterm").below_a_shell();
    let mut watched = Watched::start("sigterm", spec).unwrap();
    kill("-TERM", watched.pid);
    let (cause, restart) = watched.cause().unwrap();
    assert_eq!(cause, "terminated", "{restart:#}");
    assert_eq!(
        restart["attributes"]["observer.exit.sender.comm"], "kill",
        "{restart:#}"
    );
}

/// The agent gets no processor time while a process comes and is asked to go.
#[test]
fn who_sent_sigterm_before_the_agent_looked_at_the_process() {
    need!(Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&[]).unwrap();
    kill("-STOP", agent.pid());
    let spec = Spec::fixture("early", Some(512 * MIB), "end.js", &["--sigterm", "finish"]);
    let container = Container::ready(spec.with("OTEL_SERVICE_NAME", "early"), SOON).unwrap();
    container.signal("TERM").unwrap();
    kill("-CONT", agent.pid());
    let restart = first_event(&mut agent, "early", RESTART).unwrap();
    let attributes = &restart["attributes"];
    assert_eq!(attributes["observer.exit.cause"], "terminated", "{restart:#}");
    assert_eq!(attributes["observer.exit.sender.comm"], "runc", "{restart:#}");
}

#[test]
fn a_crash_is_not_a_lack_of_memory() {
    need!(Root, Bpf, Runc, Node);
    let mut watched = Watched::start("crash", Watched::end("crash")).unwrap();
    watched.container.tell("abort").unwrap();
    let (cause, restart) = watched.cause().unwrap();
    // As process 1 it dies of SIGSEGV, like one that hit its heap limit; its memory says that it did not.
    assert_eq!(cause, "crash", "{restart:#}");
    assert!(!watched.has(HEAP_OOM));
}

#[test]
fn the_kernels_oom_killer() {
    need!(Root, Bpf, Runc, Node);
    let spec = Watched::leak("buffers", 128, "buffer", 60);
    let mut watched = Watched::start("buffers", spec).unwrap();
    watched.container.tell("go").unwrap();
    let oom = watched.event(OOM_KILL).unwrap();
    assert_eq!(oom["attributes"]["observer.oom.killer"], "kernel", "{oom:#}");
    assert_eq!(oom["attributes"]["observer.oom.scope"], "container", "{oom:#}");
    assert_eq!(oom["attributes"]["observer.memory.limit"], 128 * MIB, "{oom:#}");
    assert_eq!(oom["attributes"]["observer.oom.main_process"], true, "{oom:#}");
    assert_eq!(oom["attributes"]["process.pid"], watched.pid, "{oom:#}");
    let (cause, restart) = watched.cause().unwrap();
    assert_eq!(cause, "kernel_oom", "{restart:#}");
    assert!(!watched.has(HEAP_OOM));
}

#[test]
fn the_heap_limit_as_process_1() {
    need!(Root, Bpf, Runc, Node);
    let spec = Watched::leak("heap-init", 512, "heap", 20).with("NODE_OPTIONS", "--max-old-space-size=64");
    heap_death(Watched::start("heap-init", spec).unwrap());
}

#[test]
fn the_heap_limit_below_a_shell() {
    need!(Root, Bpf, Runc, Node);
    let spec = Watched::leak("heap-shell", 512, "heap", 20).with("NODE_OPTIONS", "--max-old-space-size=64");
    heap_death(Watched::start("heap-shell", spec.below_a_shell()).unwrap());
}

#[test]
fn the_heap_limit_that_nobody_set() {
    need!(Root, Bpf, Runc, Node);
    // At 512 MiB V8 takes some 260 MB for its heap and dies with the container half empty.
    let spec = Watched::leak("heap-default", 512, "heap", 40);
    heap_death(Watched::start("heap-default", spec).unwrap());
}

/// A death of V8's own limit: told as such, and never as the container's.
fn heap_death(mut watched: Watched) {
    watched.container.tell("go").unwrap();
    let heap = watched.event(HEAP_OOM).unwrap();
    let (cause, restart) = watched.cause().unwrap();
    assert_eq!(cause, "v8_heap_oom", "{restart:#}");
    assert!(!watched.has(OOM_KILL), "{heap:#}");
}

fn version(name: &'static str, node: PathBuf, what: &str) -> Watched {
    // As process 1, where the two deaths look most alike.
    let mut spec = if what == "heap" {
        Watched::leak(name, 512, what, 20).with("NODE_OPTIONS", "--max-old-space-size=96")
    } else {
        Watched::leak(name, 160, what, 60)
    };
    spec.node = Some(node);
    let watched = Watched::start(name, spec).unwrap();
    watched.container.tell("go").unwrap();
    watched
}

/// Both deaths under one more major version of Node.js each.
macro_rules! versions {
    ($($heap:ident $buffer:ident $major:literal)+) => {$(
        #[test]
        fn $heap() {
            need!(Root, Bpf, Runc, NodeMajor($major));
            let mut watched = version(stringify!($heap), places::cached_node($major).unwrap(), "heap");
            let (cause, restart) = watched.cause().unwrap();
            assert_eq!(cause, "v8_heap_oom", "{restart:#}");
        }

        #[test]
        fn $buffer() {
            need!(Root, Bpf, Runc, NodeMajor($major));
            let mut watched = version(stringify!($buffer), places::cached_node($major).unwrap(), "buffer");
            let (cause, restart) = watched.cause().unwrap();
            assert_eq!(cause, "kernel_oom", "{restart:#}");
        }
    )+};
}

versions! {
    node_18_heap node_18_buffers 18
    node_22_heap node_22_buffers 22
    node_24_heap node_24_buffers 24
    node_26_heap node_26_buffers 26
}
