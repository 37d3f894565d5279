//! Containers and their supervisor: reads a [`Spec`], produces a container run by `runc` that is restarted in place as
//! often as asked, and removed on drop.

use std::{
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    app,
    bundle::{self, Spec},
    cgroup,
    lines::{self, Lines},
    pace, places, stage,
};

/// What the supervisor does when the container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Nothing.
    Never,
    /// Starts it again in the same place after this pause, as a kubelet or Docker does.
    After(Duration),
}

/// A container with its supervisor.
#[derive(Debug)]
pub struct Container {
    id: String,
    spec: Spec,
    directory: stage::Scratch,
    input: Arc<Mutex<Option<ChildStdin>>>,
    stop: Arc<AtomicBool>,
    supervisor: Option<JoinHandle<()>>,
    /// What its programs write to standard output, over all its lives.
    pub output: Lines,
    /// One line per ended life: the exit code as `runc` gives it (128 + the signal), or why it did not start.
    pub ends: Lines,
}

impl Container {
    /// Starts it.
    pub fn start(spec: Spec, restart: Restart) -> Result<Self> {
        let directory = stage::Scratch::new(&spec.name)?;
        bundle::write(directory.path(), &spec)?;
        let (output, lines) = channel();
        let (end, ends) = channel();
        let mut container = Self {
            id: format!("{}-{}", spec.name, stage::number()),
            spec,
            directory,
            input: Arc::default(),
            stop: Arc::default(),
            supervisor: None,
            output: Lines::from_channel(lines),
            ends: Lines::from_channel(ends),
        };
        let supervisor = Supervisor {
            id: container.id.clone(),
            bundle: container.directory.path().to_owned(),
            input: Arc::clone(&container.input),
            stop: Arc::clone(&container.stop),
            output,
            end,
        };
        container.supervisor = Some(thread::spawn(move || supervisor.run(restart)));
        Ok(container)
    }

    /// The same, and waits until its program says that it is ready.
    pub fn ready(spec: Spec, restart: Restart) -> Result<Self> {
        let mut container = Self::start(spec, restart)?;
        container
            .output
            .wait("the container's readiness", pace::stretched(app::READY), |line| {
                (line.contains("\"ready\"") || line.contains("\"listening\"")).then_some(())
            })
            .with_context(|| format!("runc said: {}", container.ends.so_far().join("; ")))?;
        Ok(container)
    }

    /// Path of its cgroup.
    pub fn cgroup(&self) -> String {
        self.spec.cgroup_path()
    }

    /// Writes a line to the program's standard input.
    pub fn tell(&self, line: &str) -> Result<()> {
        use std::io::Write as _;
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = input.as_mut().context("the container is not running")?;
        writeln!(input, "{line}").context("the container's standard input is gone")
    }

    /// Waits for the next end that `wanted` accepts.
    pub fn ended(&mut self, within: Duration) -> Result<i32> {
        self.ends.wait("the container's end", within, |line| line.parse().ok())
    }

    /// Stops it as who has another to put in its place does: SIGTERM, and no further life.
    pub fn retire(mut self, within: Duration) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        let supervisor = self.supervisor.take().context("it has no supervisor")?;
        let deadline = Instant::now() + within;
        // Again and again: between two lives there is nobody to tell.
        while !supervisor.is_finished() {
            anyhow::ensure!(Instant::now() < deadline, "{} does not leave on SIGTERM", self.id);
            let _ = self.signal("TERM");
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Sends a signal to its process 1, as an orchestrator does.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let done = runc(["kill", &self.id, signal]).output().context("cannot start runc")?;
        anyhow::ensure!(
            done.status.success(),
            "runc kill: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(supervisor) = self.supervisor.take() {
            // Again and again: a life may just be starting, with nothing there yet to kill.
            while !supervisor.is_finished() {
                let _ = runc(["kill", "--all", &self.id, "KILL"]).output();
                thread::sleep(Duration::from_millis(20));
            }
            let _ = supervisor.join();
        }
        let _ = runc(["delete", "--force", &self.id]).output();
        if let Some((controller, _)) = places::memory_controller() {
            let directory = controller.join(&self.spec.cgroup_path()[1..]);
            // runc has removed it where all went well.
            let _ = cgroup::clear(&directory, Duration::from_secs(10));
            let _ = directory.parent().map(std::fs::remove_dir);
        }
    }
}

fn runc<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(places::program("runc").unwrap_or_else(|| "runc".into()));
    command.arg("--root").arg(stage::runc_root()).args(arguments);
    command
}

struct Supervisor {
    id: String,
    bundle: PathBuf,
    input: Arc<Mutex<Option<ChildStdin>>>,
    stop: Arc<AtomicBool>,
    output: Sender<String>,
    end: Sender<String>,
}

impl Supervisor {
    fn run(&self, restart: Restart) {
        loop {
            let end = self
                .one_life()
                .map_or_else(|error| format!("{error:#}"), |code| code.to_string());
            if self.end.send(end).is_err() || self.stop.load(Ordering::SeqCst) {
                return;
            }
            match restart {
                Restart::Never => return,
                // The pause of a restart policy, not a wait for anything.
                Restart::After(pause) => thread::sleep(pause),
            }
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn one_life(&self) -> Result<i32> {
        let mut command = runc(["run", "--bundle"]);
        command.arg(&self.bundle).arg(&self.id);
        let mut child = app::dies_with_us(&mut command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start runc")?;
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = child.stdin.take();
        for stream in [
            child
                .stdout
                .take()
                .map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>),
            child
                .stderr
                .take()
                .map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            lines::forward(stream, self.output.clone());
        }
        let status = child.wait()?;
        Ok(app::shell_code(status))
    }
}
