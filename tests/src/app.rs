//! Bare processes: reads a command, produces a running program whose lines can be awaited and whose input written,
//! killed on drop.

use std::{
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{lines::Lines, pace, places};

/// How long a program may take to come up on a busy machine.
pub const READY: Duration = Duration::from_mins(1);

/// A program that runs until it ends or is dropped.
#[derive(Debug)]
pub struct App {
    child: Child,
    input: Option<ChildStdin>,
    /// What it writes to standard output.
    pub output: Lines,
}

impl App {
    /// Starts `command`, which dies with this process.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = dies_with_us(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self {
            input: child.stdin.take(),
            output: Lines::of(output),
            child,
        })
    }

    /// Starts one of the fixtures with the default Node.js and waits until it is ready.
    pub fn fixture(script: &str, arguments: &[&str]) -> Result<Self> {
        let node = places::node().context("no Node.js")?;
        let mut app = Self::start(Command::new(node).arg(places::fixtures().join(script)).args(arguments))?;
        app.ready()?;
        Ok(app)
    }

    /// Waits until the program has said that it is ready.
    pub fn ready(&mut self) -> Result<()> {
        let within = pace::stretched(READY);
        self.output.wait("the program's readiness", within, |line| {
            (line.contains("\"ready\"") || line.contains("\"listening\"")).then_some(())
        })
    }

    /// Its process id: the program itself, since nothing stands between.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("its standard input is closed")?;
        writeln!(input, "{line}").context("its standard input is gone")
    }

    /// Waits for its end; the exit code, or 128 + the signal.
    pub fn wait(&mut self) -> Result<i32> {
        Ok(shell_code(self.child.wait()?))
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

/// As a shell shows it.
pub fn shell_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The same command, killed by the kernel when this process dies, however it dies.
pub fn dies_with_us(command: &mut Command) -> Command {
    let Some(setpriv) = places::program("setpriv") else {
        return rebuilt(command, Command::new(command.get_program()));
    };
    let mut wrapped = Command::new(setpriv);
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    rebuilt(command, wrapped)
}

fn rebuilt(from: &Command, mut to: Command) -> Command {
    to.args(from.get_args());
    if let Some(directory) = from.get_current_dir() {
        to.current_dir::<&Path>(directory);
    }
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    to
}
