//! The agent as the chart runs it, and the same without each thing that it is given: what is lost then is what
//! docs/security.md says, it is told, and the agent goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use observer_tests::{
    app::{self, App},
    backend,
    cgroup::Memcg,
    need, places,
    pod::{Given, Pod},
    ports::free_ports,
    stage::Scratch,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What a service calls itself; its cgroup has another name.
const ITSELF: &str = "by-its-own-name";
const LIMIT: u64 = 256 << 20;
const DEADLINE: Duration = Duration::from_secs(90);

/// What the table of docs/security.md says of each thing: the first words by which its absence is told; `None` where
/// nothing is lost that could be told.
fn documented() -> BTreeMap<String, Option<String>> {
    let page = fs::read_to_string(places::workspace().join("docs/security.md")).unwrap();
    let table = page.split("## What it is given").nth(1).unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let told = cells[4].split('`').nth(1).map(str::to_owned);
            (cells[1].trim_matches('`').to_owned(), told)
        })
        .collect()
}

/// The agent in a pod, and where it answers.
struct Running {
    child: Child,
    address: String,
    socket: String,
    _pod: Pod,
    _scratch: Scratch,
}

impl Running {
    /// With its socket where the chart has it, or, to be asked from outside, where this test sees it.
    fn start(pod: Pod, asked: bool) -> Self {
        let scratch = Scratch::new("least").unwrap();
        let [port] = free_ports().unwrap();
        let address = format!("127.0.0.1:{port}");
        let socket = scratch.file("status.sock").display().to_string();
        let pod = pod.sees(scratch.path());
        let arguments = [
            "run",
            "--output",
            "json",
            "--sample-interval",
            "250ms",
            "--listen",
            &address,
        ];
        let mut environment = vec![("OBSERVER_STORE", "/var/lib/observer")];
        if asked {
            environment.push(("OBSERVER_STATUS_SOCKET", socket.as_str()));
        }
        let child = app::dies_with_us(&mut pod.command(&arguments, &environment).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            socket,
            _pod: pod,
            _scratch: scratch,
        }
    }

    /// Asks until there is an answer: a start takes seconds on a busy host, and announces nothing.
    fn until<T>(&mut self, what: &str, ask: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "it has ended before {what}");
            assert!(Instant::now() < deadline, "{what} did not come");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn readiness(&mut self) -> String {
        self.until("an answer", |agent| match backend::get(&agent.address, "/readyz") {
            Ok((200, page)) => Some(page),
            _ => None,
        })
    }

    /// What it shows of the service under this pid.
    fn run_of(&mut self, pid: u32) -> Value {
        self.until("the service", |agent| {
            let mut ask = Command::new(places::agent());
            let output = ask
                .args(["status", "--json", "--status-socket", &agent.socket])
                .output()
                .ok()?;
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            let slots = status["workloads"]
                .as_array()?
                .iter()
                .filter_map(|w| w["slots"].as_array());
            let mut runs = slots.flatten().map(|slot| slot["current"].clone());
            runs.find(|run| run["main"]["pid"] == pid && !run["level"].is_null())
        })
    }

    /// Ends as it was told to: it was alive.
    fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// A service of another user's in a limited cgroup, which names itself.
fn service(name: &str) -> (Memcg, App) {
    let cgroup = Memcg::new(name, Some(LIMIT)).unwrap();
    let mut command = cgroup.command(&places::program("setpriv").unwrap());
    command
        .args(["--reuid=1000", "--regid=1000", "--clear-groups"])
        .arg(places::node().unwrap())
        .arg(places::fixtures().join("leak.js"))
        .env("OTEL_SERVICE_NAME", ITSELF);
    let mut app = App::start(&mut command).unwrap();
    app.ready().unwrap();
    (cgroup, app)
}

/// The page of doctor, and whether it says that everything is possible.
fn doctor(pod: &Pod) -> (String, bool) {
    let store = [("OBSERVER_STORE", "/var/lib/observer")];
    let output = pod.command(&["doctor"], &store).unwrap().output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(!page.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (page, output.status.success())
}

/// Without it: doctor names it, readiness tells it in the documented words, and the agent goes on.
fn without(given: &Given, told: Option<&str>) {
    let (page, everything) = doctor(&Pod::new().unwrap().without(given));
    let mut agent = Running::start(Pod::new().unwrap().without(given), false);
    let readiness = agent.readiness();
    match told {
        Some(told) => {
            assert!(readiness.contains(told), "without {given}: {readiness}");
            // The socket is there for a running agent only.
            assert!(
                !everything || *given == Given::Mount("/run".into()),
                "without {given}: {page}"
            );
        }
        None => assert!(everything && readiness == "ok\n", "without {given}: {readiness}{page}"),
    }
    agent.stop();
}

#[test]
fn what_the_chart_gives_suffices_and_all_of_it_is_documented() {
    need!(Root, Bpf, Runc, Memory, Node, Program("setpriv"));
    let pod = Pod::new().unwrap();
    let given: Vec<String> = pod.given().iter().map(ToString::to_string).collect();
    let documented: Vec<String> = documented().into_keys().collect();
    let mut sorted = given.clone();
    sorted.sort();
    assert_eq!(sorted, documented);
    let (page, everything) = doctor(&pod);
    assert!(everything, "{page}");
    let (_cgroup, app) = service("least-all");
    let mut agent = Running::start(pod, true);
    assert_eq!(agent.readiness(), "ok\n");
    let run = agent.run_of(app.pid());
    assert_eq!(run["resource"]["service.name"], ITSELF, "{run}");
    assert_eq!(run["cgroup_limit"], LIMIT, "{run}");
    assert!(run["heap_limit"].is_u64(), "{run}");
    agent.stop();
}

#[test]
fn without_any_one_capability_what_is_lost_is_told() {
    need!(Root, Bpf, Runc, Node);
    let documented = documented();
    for given in Pod::new().unwrap().given() {
        if matches!(given, Given::Capability(_)) {
            without(&given, documented[&given.to_string()].as_deref());
        }
    }
}

#[test]
fn without_any_one_mount_what_is_lost_is_told() {
    need!(Root, Bpf, Runc, Node);
    let documented = documented();
    for given in Pod::new().unwrap().given() {
        if matches!(given, Given::Mount(_) | Given::Btf) {
            without(&given, documented[&given.to_string()].as_deref());
        }
    }
}

#[test]
fn without_the_hosts_pids_or_uid_0_what_is_lost_is_told() {
    need!(Root, Bpf, Runc, Node);
    let documented = documented();
    for given in [Given::HostPid, Given::Root] {
        without(&given, documented[&given.to_string()].as_deref());
    }
}

/// What the table says is lost is lost, and the rest of what is known of a service is not.
#[test]
fn what_is_lost_of_a_service_is_what_the_table_says() {
    need!(Root, Bpf, Runc, Memory, Node, Program("setpriv"));
    let (_cgroup, app) = service("least-one");
    for (given, named, limited, heap) in [
        (Given::Capability("DAC_READ_SEARCH".into()), Some(false), true, true),
        // Newer kernels let PERFMON read environ.
        (Given::Capability("SYS_PTRACE".into()), None, true, false),
        (Given::Mount("/sys/fs/cgroup".into()), Some(true), false, true),
    ] {
        let mut agent = Running::start(Pod::new().unwrap().without(&given), true);
        let run = agent.run_of(app.pid());
        let by_itself = run["resource"]["service.name"] == ITSELF;
        let found = (
            named.map(|_| by_itself),
            run["cgroup_limit"] == LIMIT,
            run["heap_limit"].is_u64(),
        );
        assert_eq!(found, (named, limited, heap), "without {given}: {run}");
        agent.stop();
    }
}
