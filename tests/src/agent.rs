//! The agent under test: reads flags, produces a running `observer run` whose findings, recorded Inputs and messages
//! can be awaited, stopped on drop.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use observer_core::{Input, What};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::{app, lines::Lines, places, stage::Scratch};

/// Longest time for anything the agent is waited for: some seconds when idle, more when tests share two CPUs.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Names a directory in which the findings of every agent of a test run are kept, for `cargo xtask events --from`.
const KEEP_RECORDS: &str = "OBSERVER_KEEP_RECORDS";

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    directory: Scratch,
    /// Its standard output: one JSON object per finding.
    pub findings: Lines,
    /// Its standard error.
    pub messages: Lines,
}

impl Agent {
    /// Starts `observer run` with one sample a second, JSON output, a recording, and these flags.
    pub fn start(flags: &[&str]) -> Result<Self> {
        let mut agent = Self::launch(flags)?;
        // The first Input is written when the hooks are in place: what happens from here on is seen.
        agent.wait_input("the agent's beginning", |input| {
            matches!(input.what, What::Begin(_)).then_some(())
        })?;
        Ok(agent)
    }

    /// Starts it and waits for nothing.
    pub fn launch(flags: &[&str]) -> Result<Self> {
        let mut command = command(&["run", "--output", "json", "--sample-interval", "1s"]);
        command.args(flags);
        Self::spawn(&mut command)
    }

    /// Starts the agent as `command` says, with a recording.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let directory = Scratch::new("agent")?;
        command.arg("--record").arg(directory.file("recording.jsonl"));
        let mut child = app::dies_with_us(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the agent; `cargo xtask test` builds it")?;
        let findings = child.stdout.take().context("no standard output")?;
        let messages = child.stderr.take().context("no standard error")?;
        Ok(Self {
            child,
            directory,
            findings: Lines::of(findings),
            messages: Lines::of(messages),
        })
    }

    /// Waits for a finding that `wanted` makes something of; findings that have come already count.
    pub fn wait_finding<T>(&mut self, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let found = self.findings.wait_json(what, DEADLINE, wanted);
        found.with_context(|| format!("the agent said: {}", self.messages.so_far().join("\n  ")))
    }

    /// Waits for an Input of the recording: what the agent has seen, whether or not it says anything about it.
    pub fn wait_input<T>(&mut self, what: &str, wanted: impl Fn(&Input) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + DEADLINE;
        let mut tail = Tail::new(&self.recording());
        loop {
            let ended = self.child.try_wait()?;
            for line in tail.lines()? {
                if let Some(found) = serde_json::from_str(&line).ok().and_then(|input| wanted(&input)) {
                    return Ok(found);
                }
            }
            if ended.is_some() || Instant::now() > deadline {
                let how = ended.map_or("in time".to_owned(), |status| {
                    format!("before the agent ended ({status})")
                });
                let said = self.messages.so_far().join("\n  ");
                bail!(
                    "{what}: not recorded {how}; {} Inputs were. The agent said:\n  {said}",
                    tail.count
                );
            }
            // The look-out for the next lines of a file, which announces nothing.
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a sample of this cgroup's process that is not `not`; gives back its pid.
    pub fn sampled(&mut self, cgroup: &str, not: u32) -> Result<u32> {
        let pid = self.wait_input("the service's facts", |input| match &input.what {
            What::Process(facts) if facts.cgroup == cgroup && facts.is_watched() && facts.key.pid != not => {
                Some(facts.key.pid)
            }
            _ => None,
        })?;
        self.wait_input("the service's level", |input| match &input.what {
            What::Sample(sample) if sample.process.pid == pid => Some(()),
            _ => None,
        })?;
        Ok(pid)
    }

    /// Its recording.
    pub fn recording(&self) -> PathBuf {
        self.directory.file("recording.jsonl")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit code (128 + the signal), once it has ended.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(app::shell_code))
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> Result<Stopped> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no pid")?;
        rustix::process::kill_process(pid, Signal::TERM).context("the agent has ended before")?;
        let status = within(DEADLINE, &mut self.child)?;
        self.into_stopped(status)
    }

    /// Waits until it ends by itself.
    pub fn end(mut self) -> Result<Stopped> {
        let status = within(DEADLINE, &mut self.child)?;
        self.into_stopped(status)
    }

    fn into_stopped(mut self, status: ExitStatus) -> Result<Stopped> {
        let take = |lines: &mut Lines| std::mem::replace(lines, Lines::of(std::io::empty())).to_the_end();
        let findings = take(&mut self.findings);
        let messages = take(&mut self.messages);
        keep_records(&findings);
        let directory = Scratch::new("stopped")?;
        let recording = directory.file("recording.jsonl");
        if self.recording().exists() {
            fs::rename(self.recording(), &recording)?;
        }
        Ok(Stopped {
            code: app::shell_code(status),
            findings,
            messages,
            recording,
            _directory: directory,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        keep_records(self.findings.so_far());
    }
}

/// Appends findings to this process's file in the directory that [`KEEP_RECORDS`] names. What cannot be written only lacks
/// in the documentation made from it.
fn keep_records(findings: &[String]) {
    let Some(directory) = env::var_os(KEEP_RECORDS).map(PathBuf::from) else {
        return;
    };
    if findings.is_empty() || fs::create_dir_all(&directory).is_err() {
        return;
    }
    let path = directory.join(format!("{}.jsonl", std::process::id()));
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all((findings.join("\n") + "\n").as_bytes());
    }
}

/// An agent that has ended.
#[derive(Debug)]
pub struct Stopped {
    /// Its exit code, or 128 + the signal.
    pub code: i32,
    /// Lines of its standard output.
    pub findings: Vec<String>,
    /// Lines of its standard error.
    pub messages: Vec<String>,
    /// Its recording.
    pub recording: PathBuf,
    _directory: Scratch,
}

/// The agent's command line, in an environment that holds none of its settings.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(places::agent());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("OTEL_") || name.starts_with("OBSERVER_") {
            command.env_remove(name.as_ref());
        }
    }
    // One socket cannot serve several agents, and tests run side by side; a flag names one where a test asks it.
    command.env("OBSERVER_STATUS_SOCKET", "off");
    command.args(arguments);
    command
}

fn within(deadline: Duration, child: &mut Child) -> Result<ExitStatus> {
    // A watchdog, so that an agent that does not stop fails the test instead of hanging it.
    let done = Arc::new(AtomicBool::new(false));
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let seen = Arc::clone(&done);
    let watchdog = thread::spawn(move || {
        let until = Instant::now() + deadline;
        while !seen.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process(pid, Signal::ABORT);
                }
                return true;
            }
            thread::park_timeout(left);
        }
        false
    });
    let status = child.wait()?;
    done.store(true, Ordering::SeqCst);
    watchdog.thread().unpark();
    if watchdog.join().unwrap_or(false) {
        bail!("the agent did not end within {} s and was aborted", deadline.as_secs());
    }
    Ok(status)
}

/// The lines of a file that grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    position: u64,
    count: usize,
}

impl Tail {
    /// From its beginning; it need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            position: 0,
            count: 0,
        }
    }

    /// The whole lines since the last time.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(Vec::new());
        };
        file.seek(std::io::SeekFrom::Start(self.position))?;
        let mut reader = BufReader::new(file);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = reader.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Ok(lines);
            }
            self.position += read as u64;
            self.count += 1;
            lines.push(line);
        }
    }
}
