//! `cargo xtask recordings`: reads tests/recordings/programs.json, runs each of its programs in a limited container side
//! by side under one agent, and writes what the agent recorded of each to `tests/recordings/NAME.jsonl.gz`.
//!
//! A recording holds all that happened on the host. What is kept of it is what concerns the container: its processes, its
//! cgroup and its levels; the host's name and boot id are replaced. Hours are compressed to minutes by [`TIME_SCALE`].

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use observer_core::{Input, What, kernel::KernelEvent, process::ProcessKey};
use observer_tests::{
    agent::{self, Agent},
    bundle::Spec,
    container::{Container, Restart},
    places,
};
use serde_json::Value;

/// An hour takes 14 s.
const TIME_SCALE: &str = "0.004";

/// How to record.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these programs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds to record: leaks need two deaths, some 90 s each on an idle machine
    #[arg(long, default_value_t = 260)]
    seconds: u64,
}

/// `cargo xtask recordings`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let directory = directory();
    let file = directory.join("programs.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let programs: Vec<Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is not a list of programs", file.display()))?;
    let mut running: Vec<(String, Container)> = Vec::new();
    let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "500ms"]);
    let mut agent = Agent::spawn(command.args(["--time-scale", TIME_SCALE])).context("the agent")?;
    // The first Input is written when the hooks are in place.
    agent.wait_input("the agent's beginning", |input| {
        matches!(input.what, What::Begin(_)).then_some(())
    })?;
    for program in &programs {
        let name = program["name"].as_str().context("a program without a name")?;
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            running.push((name.to_owned(), start(name, program)?));
        }
    }
    println!("recording {} programs for {} s", running.len(), options.seconds);
    thread::sleep(Duration::from_secs(options.seconds));
    // The agent first: what ends from here on is not part of it.
    let stopped = agent.stop()?;
    for (name, container) in &running {
        let to = directory.join(format!("{name}.jsonl.gz"));
        let (kept, bytes) = thin(&stopped.recording, &container.cgroup(), &to)?;
        println!("{name}: {kept} inputs, {bytes} bytes");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where recordings are.
fn directory() -> PathBuf {
    places::workspace().join("tests").join("recordings")
}

fn start(name: &str, program: &Value) -> Result<Container> {
    let limit = program["limit_mib"].as_u64().map(|mib| mib << 20);
    let rate = program["mb"].to_string();
    let spec = Spec::fixture(name, limit, "growth.js", &["--program", name, "--mb", &rate])
        .with("OTEL_SERVICE_NAME", name)
        .with("NODE_OPTIONS", program["node_options"].as_str().unwrap_or_default());
    Container::start(spec, Restart::After(Duration::from_millis(500))).with_context(|| format!("the container {name}"))
}

/// Writes what concerns `cgroup` of the recording `from` into `to`; gives back how many Inputs, and bytes.
fn thin(from: &Path, cgroup: &str, to: &Path) -> Result<(u64, u64)> {
    let mut processes: BTreeSet<ProcessKey> = BTreeSet::new();
    let within = |path: &str| path == cgroup || path.starts_with(&format!("{cgroup}/"));
    for input in inputs(from)? {
        if let What::Process(facts) = &input?.what
            && within(&facts.cgroup)
        {
            processes.insert(facts.key);
        }
    }
    let pids: BTreeSet<u32> = processes.iter().map(|process| process.pid).collect();
    let mut packed = GzEncoder::new(
        File::create(to).with_context(|| format!("cannot make {}", to.display()))?,
        Compression::best(),
    );
    let mut kept = 0;
    for input in inputs(from)? {
        let mut input = input?;
        let keep = match &mut input.what {
            What::Begin(begin) => {
                "recorded".clone_into(&mut begin.host);
                "00000000-0000-0000-0000-000000000000".clone_into(&mut begin.boot_id);
                true
            }
            What::Process(facts) => within(&facts.cgroup),
            What::Vanished(process) => processes.contains(process),
            What::Sample(sample) => processes.contains(&sample.process),
            What::Heap(answer) => processes.contains(&answer.process),
            What::OomKills { cgroup, .. } => within(cgroup),
            What::Kernel(event) => match event {
                KernelEvent::Exec { process, .. }
                | KernelEvent::Fork { process, .. }
                | KernelEvent::Exit { process, .. } => processes.contains(process),
                KernelEvent::OomVictim(victim) => pids.contains(&victim.process.pid),
                KernelEvent::Signal(signal) => pids.contains(&signal.target.pid),
                KernelEvent::CgroupMkdir { path, .. } | KernelEvent::CgroupRelease { path, .. } => within(path),
            },
            What::Clock(_) | What::Lost(_) | What::End => true,
            What::Container(_) | What::Resource(_) | What::Gap { .. } | What::Restore(_) | What::Tick => false,
        };
        if keep {
            serde_json::to_writer(&mut packed, &input)?;
            packed.write_all(b"\n")?;
            kept += 1;
        }
    }
    Ok((kept, packed.finish()?.metadata()?.len()))
}

fn inputs(file: &Path) -> Result<impl Iterator<Item = Result<Input>>> {
    let lines = BufReader::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?).lines();
    Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
}
