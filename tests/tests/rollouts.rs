//! Three rollouts of one service, the second of which leaks and the third of which does not: in a plain `runc` container,
//! and as a unit of a systemd-like tree of cgroups. (By a real kubelet: `cluster`.)

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{
    fs,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use observer_tests::{
    agent::{self, Agent},
    app::{READY, dies_with_us},
    bundle::Spec,
    cgroup::Memcg,
    container::{Container, Restart},
    need, places,
    receiver::Receiver,
    rollouts::{self, CLEAN, CLEAN_FOR, FIXED, LEAKING, LIMIT, TIME_SCALE, argument, said},
    stage::Scratch,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Pause of a supervisor between two lives.
const PAUSE: Duration = Duration::from_millis(300);

/// An agent that judges as fast as the leak is.
fn observe(receiver: &Receiver) -> Agent {
    let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "250ms"]);
    command
        .args(["--time-scale", TIME_SCALE, "--status-socket", "off"])
        .args(["--otlp-endpoint", &receiver.endpoint()]);
    Agent::spawn(&mut command).unwrap()
}

/// Waits for what is to be said of a version before the next one is rolled out.
fn judged(agent: &mut Agent, receiver: &mut Receiver, service: &str, version: &str) {
    let event = match version {
        // Its time is what is judged, and passes.
        CLEAN => return thread::sleep(CLEAN_FOR),
        LEAKING => "observer.memory.leak_confirmed",
        _ => "observer.memory.leak_resolved",
    };
    agent
        .wait_finding(event, |finding| said(finding, service, event, version).then_some(()))
        .unwrap();
    receiver
        .wait(event, |record| said(record, service, event, version).then_some(()))
        .unwrap();
}

fn nothing_is_wrong(agent: &mut Agent, receiver: &mut Receiver, service: &str, names: &[(&str, &str)]) {
    let printed = agent.findings.so_far().iter();
    let printed: Vec<Value> = printed.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let exported: Vec<Value> = receiver
        .so_far()
        .into_iter()
        .filter(|record| record["signal"] == "log")
        .collect();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names: Vec<(&str, &str)> = names.iter().copied().chain([("host.name", host.as_str())]).collect();
    for (findings, who) in [(&printed, "printed"), (&exported, "exported")] {
        let faults = rollouts::faults(findings, service, &names);
        assert!(faults.is_empty(), "{who}:\n{}", faults.join("\n"));
        let in_place = |finding: &&Value| finding["attributes"]["observer.restart.rollout"] == true;
        let rolled = findings
            .iter()
            .filter(|f| rollouts::is_of(f, service))
            .filter(in_place)
            .count();
        assert_eq!(rolled, 2, "{who}: restarts by a rollout");
    }
}

/// A name of this process's own.
fn own(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Name and version are told by the process's own environment, the container by its cgroup.
#[test]
fn in_a_runc_container() {
    need!(Root, Bpf, Runc, Node, OtlpPython);
    let mut receiver = Receiver::start(&[]).unwrap();
    let mut agent = observe(&receiver);
    let service = own("basket");
    let mut running: Option<Container> = None;
    for version in [CLEAN, LEAKING, FIXED] {
        if let Some(before) = running.take() {
            before.retire(READY).unwrap();
        }
        let spec = Spec::fixture("basket", Some(LIMIT), "checkout.js", &[argument(version)])
            .with("OTEL_SERVICE_NAME", &service)
            .with("OTEL_RESOURCE_ATTRIBUTES", &format!("service.version={version}"));
        running = Some(Container::ready(spec, Restart::After(PAUSE)).unwrap());
        judged(&mut agent, &mut receiver, &service, version);
    }
    nothing_is_wrong(
        &mut agent,
        &mut receiver,
        &service,
        &[("process.runtime.name", "nodejs")],
    );
}

/// The version is that of the package on disk, which each rollout overwrites; the service is known by its unit.
#[test]
fn as_a_unit_of_systemd() {
    need!(Root, Bpf, Memory, Node, OtlpPython);
    let mut receiver = Receiver::start(&[]).unwrap();
    let mut agent = observe(&receiver);
    let service = own("checkout");
    let name = format!("{service}.service");
    let unit = Memcg::exactly(&format!("system.slice/{name}"), Some(LIMIT)).unwrap();
    let directory = Scratch::new("unit").unwrap();
    fs::copy(places::fixtures().join("checkout.js"), directory.file("checkout.js")).unwrap();
    let mut running: Option<Unit> = None;
    for version in [CLEAN, LEAKING, FIXED] {
        drop(running.take());
        let package = json!({"name": service, "version": version});
        fs::write(directory.file("package.json"), package.to_string()).unwrap();
        running = Some(Unit::start(&unit, &directory, argument(version)));
        judged(&mut agent, &mut receiver, &service, version);
    }
    drop(running);
    nothing_is_wrong(&mut agent, &mut receiver, &service, &[("systemd.unit.name", &name)]);
}

/// A service as systemd runs one with `Restart=always`: in its cgroup, started again whenever it ends, stopped by SIGTERM.
struct Unit {
    stop: Arc<AtomicBool>,
    supervisor: Option<JoinHandle<()>>,
}

impl Unit {
    fn start(unit: &Memcg, directory: &Scratch, argument: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let mut command = unit.command(&places::node().unwrap());
        command
            .arg(directory.file("checkout.js"))
            .arg(argument)
            .current_dir(directory.path());
        let mut command = dies_with_us(&mut command);
        command.stdout(std::process::Stdio::null());
        let supervisor = thread::spawn(move || {
            while !stopping.load(Ordering::SeqCst) {
                let mut child = command.spawn().unwrap();
                while child.try_wait().unwrap().is_none() {
                    if stopping.load(Ordering::SeqCst) {
                        return terminate(&mut child);
                    }
                    // The supervisor's look at its child, and at whether it is to stop.
                    thread::sleep(Duration::from_millis(20));
                }
                thread::sleep(PAUSE);
            }
        });
        Self {
            stop,
            supervisor: Some(supervisor),
        }
    }
}

/// SIGTERM, and SIGKILL to who does not leave.
fn terminate(child: &mut Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::TERM).unwrap();
    let deadline = Instant::now() + READY;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}
