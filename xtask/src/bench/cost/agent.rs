//! The agent under measurement: reads its status and its files in /proc, produces what it has used.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{agent, app::dies_with_us, stage::Scratch, threads};
use serde_json::Value;

/// Longest time until it answers, or has found every container.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// A running agent, ended on drop.
pub(super) struct Running {
    child: Child,
    program: PathBuf,
    socket: PathBuf,
    _scratch: Scratch,
}

/// What it has used since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU time of all threads, nanoseconds.
    pub(super) cpu: u64,
    /// CPU time of the thread that reads levels, nanoseconds.
    pub(super) sampler: u64,
    /// Times a thread went to sleep by itself.
    pub(super) wakeups: u64,
}

impl Running {
    /// Starts it and waits until it answers.
    pub(super) fn start(program: &Path, flags: &[&str]) -> Result<Self> {
        let scratch = Scratch::new("cost")?;
        let socket = scratch.file("status.sock");
        let mut command = agent::command(&["run", "--output", "json", "--status-socket"]);
        let mut run = Command::new(program);
        run.args(command.arg(&socket).args(flags).get_args())
            .env("OBSERVER_STATUS_SOCKET", &socket);
        let child = dies_with_us(&mut run)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let running = Self {
            child,
            program: program.to_owned(),
            socket,
            _scratch: scratch,
        };
        running.until("it answers", |_| true)?;
        Ok(running)
    }

    /// Waits until its own state, as `observer status --json` has it, is as wanted.
    pub(super) fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state();
            if state.as_ref().is_ok_and(&wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the agent: {what} was not reached in time: {state:?}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Its own state.
    pub(super) fn state(&self) -> Result<Value> {
        let output = Command::new(&self.program)
            .args(["status", "--json", "--status-socket"])
            .arg(&self.socket)
            .output()?;
        let mut state: Value = serde_json::from_slice(&output.stdout).context("the agent does not answer yet")?;
        Ok(state["agent"].take())
    }

    /// What it has used.
    pub(super) fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for thread in threads::threads(self.child.id())? {
            let cpu = thread.cpu.as_nanos() as u64;
            usage.cpu += cpu;
            if thread.comm == "sampler" {
                usage.sampler = cpu;
            }
            usage.wakeups += thread.wakeups;
        }
        Ok(usage)
    }

    /// A field of its `/proc/PID/status`, such as `VmRSS:`, kB.
    pub(super) fn kib(&self, field: &str) -> Result<u64> {
        Ok(threads::number(&fs::read_to_string(self.proc("status"))?, field))
    }

    /// Open descriptors.
    pub(super) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
