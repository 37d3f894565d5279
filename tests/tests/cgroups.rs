//! The same programs in a `runc` container and in a cgroup that somebody limited by hand: both are containers, and what is
//! said of them is the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as the test does"
)]

use std::path::PathBuf;

use observer_core::What;
use observer_tests::{
    agent::{Agent, DEADLINE},
    app::App,
    bundle::Spec,
    cgroup::Memcg,
    container::{Container, Restart},
    lines::Lines,
    need, places,
};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;

/// What runs a program: an engine, or nobody.
enum Place {
    Runc(Box<Container>),
    ByHand { app: Box<App>, group: Memcg },
}

impl Place {
    fn runc(name: &str, node: PathBuf, script: &str, arguments: &[&str]) -> Self {
        let mut spec = Spec::fixture(name, Some(LIMIT), script, arguments).with("OTEL_SERVICE_NAME", name);
        spec.node = Some(node);
        spec.shm = Some(1 << 30);
        Self::Runc(Box::new(Container::ready(spec, Restart::Never).unwrap()))
    }

    fn by_hand(name: &str, node: PathBuf, script: &str, arguments: &[&str]) -> Self {
        let group = Memcg::new(name, Some(LIMIT)).unwrap();
        let app = Box::new(life(&group, name, node, script, arguments));
        Self::ByHand { app, group }
    }

    fn cgroup(&self) -> String {
        match self {
            Self::Runc(container) => container.cgroup(),
            Self::ByHand { group, .. } => group.path().to_owned(),
        }
    }

    fn tell(&mut self, line: &str) {
        match self {
            Self::Runc(container) => container.tell(line).unwrap(),
            Self::ByHand { app, .. } => app.tell(line).unwrap(),
        }
    }

    fn output(&mut self) -> &mut Lines {
        match self {
            Self::Runc(container) => &mut container.output,
            Self::ByHand { app, .. } => &mut app.output,
        }
    }
}

/// A program in a cgroup, from its start to its readiness.
fn life(group: &Memcg, name: &str, node: PathBuf, script: &str, arguments: &[&str]) -> App {
    let script = places::fixtures().join(script);
    let mut command = group.command(&node);
    command.arg(script).args(arguments).env("OTEL_SERVICE_NAME", name);
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    app
}

fn is(finding: &Value, event: &str, service: &str) -> bool {
    finding["event"] == event && finding["resource"]["service.name"] == service
}

/// Both places under two versions of Node.js.
macro_rules! both {
    ($what:ident: $($runc:ident $by_hand:ident $major:literal)+) => {$(
        #[test]
        fn $runc() {
            need!(Root, Bpf, Runc, NodeMajor($major));
            let (name, node) = (stringify!($runc), places::cached_node($major).unwrap());
            $what(name, |script, arguments| Place::runc(name, node, script, arguments));
        }

        #[test]
        fn $by_hand() {
            need!(Root, Bpf, Memory, NodeMajor($major));
            let (name, node) = (stringify!($by_hand), places::cached_node($major).unwrap());
            $what(name, |script, arguments| Place::by_hand(name, node, script, arguments));
        }
    )+};
}

/// The kernel ends a helper at the container's limit, twice; the service lives on.
fn helper(name: &str, mut place: Place, mut agent: Agent) {
    let cgroup = place.cgroup();
    agent.sampled(&cgroup, 0).unwrap();
    let mut kills: Vec<Value> = Vec::new();
    for _ in 0..2 {
        place.tell("help");
        let told: Vec<Value> = kills
            .iter()
            .map(|kill| kill["attributes"]["process.pid"].clone())
            .collect();
        let kill = agent
            .wait_finding("the helper's kill", |finding| {
                let new = is(finding, "observer.process.oom_kill", name)
                    && !told.contains(&finding["attributes"]["process.pid"]);
                new.then(|| finding.clone())
            })
            .unwrap();
        kills.push(kill);
    }
    for kill in &kills {
        let attributes = &kill["attributes"];
        assert_eq!(attributes["observer.oom.victim.comm"], "tail", "{kill:#}");
        assert_eq!(attributes["observer.oom.main_process"], false, "{kill:#}");
        assert_eq!(attributes["observer.oom.scope"], "container", "{kill:#}");
        assert_eq!(attributes["observer.memory.limit"], LIMIT, "{kill:#}");
        assert_eq!(attributes["observer.cgroup.path"], cgroup, "{kill:#}");
        assert!(
            attributes["observer.oom.victim.anon"].as_u64() > Some(100 * MIB),
            "{kill:#}"
        );
        assert_eq!(attributes["observer.finding.confidence"], "observed", "{kill:#}");
    }
    place
        .output()
        .wait_count("the service's word on its helper", DEADLINE, 2, |line| {
            line.contains("\"helped\":false")
        })
        .unwrap();
    let stopped = agent.stop().unwrap();
    let restarts = stopped
        .findings
        .iter()
        .filter(|line| line.contains("observer.container.restart") && line.contains(name));
    assert_eq!(restarts.count(), 0, "{:#?}", stopped.findings);
}

/// Started as a bare process, then put into the cgroup: a container from then on.
#[test]
fn a_process_moved_into_a_limited_cgroup_is_told_as_a_container() {
    need!(Root, Bpf, Memory, Node);
    let mut agent = Agent::start(&[]).unwrap();
    let group = Memcg::new("moved", Some(LIMIT)).unwrap();
    let mut command = std::process::Command::new(places::node().unwrap());
    command
        .arg(places::fixtures().join("leak.js"))
        .args(["--what", "buffer", "--mb", "60"])
        .env("OTEL_SERVICE_NAME", "moved");
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    let pid = app.pid();
    agent
        .wait_input("the bare process's level", |input| match &input.what {
            What::Sample(sample) if sample.process.pid == pid => Some(()),
            _ => None,
        })
        .unwrap();
    group.enter(pid).unwrap();
    agent
        .wait_input("the move", |input| match &input.what {
            What::Resource(read) if read.process.pid == pid && read.cgroup == group.path() => Some(()),
            _ => None,
        })
        .unwrap();
    app.tell("go").unwrap();
    let kill = agent
        .wait_finding("the kill", |finding| {
            is(finding, "observer.process.oom_kill", "moved").then(|| finding.clone())
        })
        .unwrap();
    let attributes = &kill["attributes"];
    assert_eq!(attributes["observer.oom.scope"], "container", "{kill:#}");
    assert_eq!(
        attributes["observer.slot"],
        format!("cgroup {}", group.path()),
        "{kill:#}"
    );
    assert_eq!(attributes["observer.memory.limit"], LIMIT, "{kill:#}");
}

/// The runs of a leak in a cgroup made by hand are those of the cgroup: its level, its peak, its limit.
#[test]
fn a_cgroup_made_by_hand_is_told_as_the_container_it_is() {
    need!(Root, Bpf, Memory, Node);
    let mut agent = Agent::start(&[]).unwrap();
    let node = places::node().unwrap();
    let group = Memcg::new("by-hand", Some(LIMIT)).unwrap();
    let arguments = ["--what", "buffer", "--mb", "60"];
    let mut first = life(&group, "by-hand", node.clone(), "leak.js", &arguments);
    let pid = agent.sampled(group.path(), 0).unwrap();
    first.tell("go").unwrap();
    let kill = agent
        .wait_finding("the kill", |finding| {
            is(finding, "observer.process.oom_kill", "by-hand").then(|| finding.clone())
        })
        .unwrap();
    assert_eq!(kill["attributes"]["observer.oom.scope"], "container", "{kill:#}");
    assert_eq!(kill["attributes"]["observer.oom.main_process"], true, "{kill:#}");
    first.wait().unwrap();
    let _second = life(&group, "by-hand", node, "leak.js", &arguments);
    agent.sampled(group.path(), pid).unwrap();
    let restart = agent
        .wait_finding("the restart", |finding| {
            is(finding, "observer.container.restart", "by-hand").then(|| finding.clone())
        })
        .unwrap();
    let attributes = &restart["attributes"];
    assert_eq!(attributes["observer.exit.cause"], "kernel_oom", "{restart:#}");
    assert_eq!(
        attributes["observer.slot"],
        format!("cgroup {}", group.path()),
        "{restart:#}"
    );
    assert_eq!(attributes["observer.run.previous.ceiling"], LIMIT, "{restart:#}");
    assert_eq!(
        attributes["observer.run.previous.ceiling.kind"], "cgroup",
        "{restart:#}"
    );
    assert!(
        attributes["observer.run.previous.peak"].as_u64() > Some(LIMIT / 2),
        "{restart:#}"
    );
}

/// A tmpfs that fills: told before the death, in its place; the kernel ends the service at the container's limit.
fn full_tmpfs(name: &str, start: impl FnOnce(&str, &[&str]) -> Place) {
    let directory = Uploads::new(name);
    let mut agent = Agent::start(&["--time-scale", "0.001", "--heap-workloads", "*"]).unwrap();
    let mut place = start("shm.js", &["--directory", directory.inside(), "--mb", "4"]);
    let cgroup = place.cgroup();
    agent.sampled(&cgroup, 0).unwrap();
    place.tell("go");
    let verdict = agent
        .wait_finding("what grows", |finding| {
            let said = ["observer.memory.leak_suspected", "observer.memory.leak_likely"];
            said.iter()
                .any(|event| is(finding, event, name))
                .then(|| finding.clone())
        })
        .unwrap();
    let attributes = &verdict["attributes"];
    assert_eq!(attributes["observer.memory.growth.where"], "shmem", "{verdict:#}");
    assert_eq!(attributes["observer.memory.ceiling"], LIMIT, "{verdict:#}");
    assert!(
        verdict["body"].as_str().unwrap().contains("files in memory"),
        "{verdict:#}"
    );
    let kill = agent
        .wait_finding("the kill", |finding| {
            is(finding, "observer.process.oom_kill", name).then(|| finding.clone())
        })
        .unwrap();
    assert_eq!(kill["attributes"]["observer.oom.scope"], "container", "{kill:#}");
    let stopped = agent.stop().unwrap();
    // Of others on this host they may be.
    let readings = stopped.findings.iter().filter(|line| {
        let finding = serde_json::from_str(line).unwrap();
        ["observer.memory.heap_read", "observer.memory.diagnosis"]
            .iter()
            .any(|event| is(&finding, event, name))
    });
    assert_eq!(readings.count(), 0, "{:#?}", stopped.findings);
}

/// A directory in the host's memory, removed on drop; containers have a /dev/shm of their own.
struct Uploads {
    directory: tempfile::TempDir,
    own: bool,
}

impl Uploads {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        Self {
            directory,
            own: name.contains("runc"),
        }
    }

    fn inside(&self) -> &str {
        if self.own {
            return "/dev/shm";
        }
        self.directory.path().to_str().unwrap()
    }
}

both! { full_tmpfs:
    shm_runc_20 shm_by_hand_20 20
    shm_runc_24 shm_by_hand_24 24
}

fn killed_helper(name: &str, start: impl FnOnce(&str, &[&str]) -> Place) {
    let agent = Agent::start(&[]).unwrap();
    helper(name, start("helper.js", &[]), agent);
}

both! { killed_helper:
    helper_runc_20 helper_by_hand_20 20
    helper_runc_24 helper_by_hand_24 24
}
