//! The command under watch: started, its standard output passed on and its rounds counted, stopped when it is judged.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR2},
    iterator::Signals,
};

use super::{cgroup::OwnCgroup, tree::of_command};
use crate::terminal;

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// The variable in which a command finds the pid to send SIGUSR2 to.
const WATCHER: &str = "OBSERVER_WATCH_PID";
/// Longest line that is looked at for a round, bytes.
const LONGEST: u64 = 64 << 10;

/// What others than the loop do: count rounds, and say that it is enough.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) rounds: Arc<AtomicU64>,
    pub(super) enough: Arc<AtomicBool>,
}

impl Heard {
    /// Counts a round for each SIGUSR2; SIGTERM and SIGINT end the watch.
    pub(super) fn signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::new([SIGUSR2, SIGTERM, SIGINT])?;
        let heard = self.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if signal == SIGUSR2 {
                    heard.rounds.fetch_add(1, Relaxed);
                } else {
                    heard.enough.store(true, Relaxed);
                }
            }
        })?;
        Ok(())
    }
}

/// A running command.
pub(super) struct Watchee {
    child: Child,
    output: Option<JoinHandle<()>>,
    stopped: bool,
}

impl Watchee {
    /// Starts a command. What it prints is passed on: to standard error where standard output is for the outcome.
    pub(super) fn start(command: &[String], line: &str, to_stderr: bool, heard: &Heard) -> anyhow::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .context("no command: `observer watch -- npm test`")?;
        let mut child = Command::new(program)
            .args(arguments)
            .env(WATCHER, std::process::id().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().map(|stdout| {
            let (line, rounds) = (line.to_owned(), Arc::clone(&heard.rounds));
            thread::spawn(move || pass_on(stdout, &line, to_stderr, &rounds))
        });
        Ok(Self {
            child,
            output,
            stopped: false,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, where it has.
    pub(super) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Ends it and all that it started: with SIGTERM, and with SIGKILL where that does not do.
    pub(super) fn stop(&mut self, own: Option<&OwnCgroup>) -> std::io::Result<()> {
        self.stopped = true;
        let pid = self.child.id();
        signal_all(pid, own, Signal::TERM);
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > GRACE {
                signal_all(pid, own, Signal::KILL);
                self.child.wait()?;
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its exit code, as a shell shows it, once it has ended; `None` where it was stopped.
    pub(super) fn code(mut self) -> std::io::Result<Option<i32>> {
        let status = self.child.wait()?;
        if let Some(output) = self.output.take()
            && !self.stopped
        {
            // What it printed last is passed on first. A panic there was told when it happened.
            let _ = output.join();
        }
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok((!self.stopped).then_some(code))
    }
}

/// Sends a signal to a process, to all that it started, and to all that is in its cgroup.
fn signal_all(root: u32, own: Option<&OwnCgroup>, signal: Signal) {
    for key in of_command(root, own) {
        if let Some(pid) = i32::try_from(key.pid).ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Passes on what is printed, line by line, and counts rounds.
fn pass_on(stream: impl Read, marker: &str, to_stderr: bool, rounds: &AtomicU64) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stream.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // The command must not block on a reader who has gone.
        let _ = terminal::pass_on(&line, to_stderr);
        if String::from_utf8_lossy(&line).contains(marker) {
            rounds.fetch_add(1, Relaxed);
        }
    }
}
