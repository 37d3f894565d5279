//! Very many containers, born and dead under a running agent: the series it exports stay as few as those alive need, and
//! so does its memory. And more than its limit of open files has room for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use observer_core::{Input, What, kernel::KernelEvent};
use observer_tests::{
    agent::{self, Agent, DEADLINE, Tail},
    backend::get,
    cgroup::Memcg,
    need, places,
    ports::free_ports,
    stage::Scratch,
};

/// Containers in all.
const BORN: u64 = 10_000;
/// Alive at once.
const ALIVE: usize = 40;
/// Series of a run at most: levels, ceilings, slopes, growth by place, states, and its `target_info`.
const OF_A_RUN: usize = 24;
/// Series of services and of the agent itself.
const OTHERS: usize = 200;

/// Held by a test while it runs: each agent observes all of the host, and one test counts what that takes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A container of an engine, as its cgroup tells it, with one process. Its drop ends both.
struct Sleeper {
    process: Child,
    _cgroup: Memcg,
}

impl Sleeper {
    fn start(nth: u64, program: &Path) -> Self {
        let cgroup = Memcg::exactly(&format!("docker/{nth:064x}"), None).unwrap();
        let mut command = cgroup.command(program);
        command.env("OTEL_SERVICE_NAME", "many").stdin(Stdio::null());
        Self {
            process: command.spawn().unwrap(),
            _cgroup: cgroup,
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds what looks like Node.js and only sleeps.
fn sleeper(directory: &Scratch) -> PathBuf {
    let program = directory.file("node");
    let built = Command::new("cc")
        .args(["-O1", "-rdynamic", "-o"])
        .arg(&program)
        .arg(places::fixtures().join("sleeper.c"))
        .status()
        .unwrap();
    assert!(built.success());
    program
}

/// A page of `/metrics`.
struct Page(String);

impl Page {
    fn of(address: &str) -> Self {
        let (code, page) = get(address, "/metrics").unwrap();
        assert_eq!(code, 200, "{page}");
        Self(page)
    }

    fn series(&self) -> usize {
        self.0.lines().filter(|line| !line.starts_with('#')).count()
    }

    /// Sum of a metric over its series whose labels contain `with`.
    fn sum(&self, metric: &str, with: &str) -> f64 {
        let lines = self
            .0
            .lines()
            .filter(|line| line.starts_with(&format!("{metric}{{")) && line.contains(with));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

#[test]
fn ten_thousand_containers_leave_no_more_series_than_those_alive_need() {
    need!(Full, Root, Bpf, Memory, Program("cc"));
    let _alone = alone();
    let directory = Scratch::new("many").unwrap();
    let program = sleeper(&directory);
    let [port] = free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");
    let mut agent = Agent::start(&["--listen", &address]).unwrap();
    let own = "job=\"observer\"";

    let mut alive = VecDeque::new();
    let (mut most, mut halfway) = (0, 0.0);
    for nth in 0..BORN {
        alive.push_back(Sleeper::start(nth, &program));
        if alive.len() > ALIVE {
            alive.pop_front();
        }
        if nth % 500 == 499 {
            let page = Page::of(&address);
            most = most.max(page.series());
            if nth + 1 == BORN / 2 {
                halfway = page.sum("process_memory_usage_bytes", own);
            }
        }
    }
    // All that are alive are seen, and of the others no more is told than what is counted of the service.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let page = Page::of(&address);
        most = most.max(page.series());
        let seen = page
            .0
            .lines()
            .filter(|line| line.starts_with("observer_leak_state{") && line.contains("many"))
            .count();
        let ended = page.sum("observer_container_exits_total", "job=\"many\"");
        if seen == ALIVE && ended >= 0.95 * BORN as f64 {
            break;
        }
        assert!(Instant::now() < deadline, "{seen} seen, {ended} ended: {}", page.0);
        std::thread::sleep(Duration::from_millis(200));
    }
    // A container is told of for some seconds after its death, until that is decided.
    let bound = 3 * ALIVE * OF_A_RUN + OTHERS;
    assert!(most <= bound, "{most} series, {bound} expected at most");
    let at_the_end = Page::of(&address).sum("process_memory_usage_bytes", own);
    assert!(
        at_the_end <= 1.25 * halfway,
        "{halfway} bytes resident after half of them, {at_the_end} after all"
    );
    assert!(agent.ended().unwrap().is_none());
}

/// There are more containers than files may be open: what is not kept open is opened for each reading.
#[test]
fn a_low_limit_of_open_files_costs_no_samples() {
    const CONTAINERS: u64 = 320;
    need!(Root, Bpf, Memory, Program("cc"));
    let _alone = alone();
    let directory = Scratch::new("descriptors").unwrap();
    let program = sleeper(&directory);
    let run = agent::command(&["run", "--output", "json", "--sample-interval", "1s"]);
    let mut limited = Command::new("/bin/sh");
    limited
        .args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\""])
        .arg(run.get_program())
        .args(run.get_args())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut agent = Agent::spawn(&mut limited).unwrap();
    agent
        .wait_input("its beginning", |input| {
            matches!(input.what, What::Begin(_)).then_some(())
        })
        .unwrap();
    let mut containers: Vec<Sleeper> = (0..CONTAINERS).map(|nth| Sleeper::start(nth, &program)).collect();

    let mut tail = Tail::new(&agent.recording());
    let mut samples: BTreeMap<u32, u32> = containers.iter().map(|sleeper| (sleeper.process.id(), 0)).collect();
    let deadline = Instant::now() + DEADLINE;
    while samples.values().any(|&count| count < 3) {
        assert!(Instant::now() < deadline, "{samples:?}");
        for line in tail.lines().unwrap() {
            match serde_json::from_str::<Input>(&line).unwrap().what {
                What::Sample(sample) => {
                    assert!(sample.cgroup.is_some() && sample.rss.is_some(), "{sample:?}");
                    samples.entry(sample.process.pid).and_modify(|count| *count += 1);
                }
                What::Lost(lost) => assert_ne!(lost.stage, "watch", "{lost:?}: {:?}", agent.messages.so_far()),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // One that goes is told from one that could not be opened.
    let gone = containers.pop().unwrap();
    let pid = gone.process.id();
    drop(gone);
    agent
        .wait_input("its end", |input| match &input.what {
            What::Kernel(KernelEvent::Exit { process, .. }) => (process.pid == pid).then_some(()),
            _ => None,
        })
        .unwrap();
    assert!(agent.ended().unwrap().is_none());
}
