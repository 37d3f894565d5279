//! Containers that cost next to nothing: a memory cgroup as an engine makes it, and in it a program that the agent takes
//! for Node.js and that only sleeps.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use observer_tests::{cgroup::Memcg, places, stage::Scratch};

use crate::shell;

/// Running containers, oldest first. Dropped, they are gone.
pub(super) struct Containers {
    program: PathBuf,
    alive: VecDeque<Container>,
    started: u64,
    _scratch: Scratch,
}

struct Container {
    process: Child,
    _cgroup: Memcg,
}

impl Containers {
    /// This many.
    pub(super) fn start(count: usize) -> Result<Self> {
        let scratch = Scratch::new("containers")?;
        let program = scratch.file("node");
        let mut cc = shell::command("cc", ["-O1", "-rdynamic", "-o"]);
        cc.arg(&program).arg(places::fixtures().join("sleeper.c"));
        shell::quiet(cc)?;
        let mut containers = Self {
            program,
            alive: VecDeque::new(),
            started: 0,
            _scratch: scratch,
        };
        for _ in 0..count {
            containers.add()?;
        }
        Ok(containers)
    }

    fn add(&mut self) -> Result<()> {
        let cgroup = Memcg::exactly(&format!("docker/{:064x}", self.started), Some(256 << 20))?;
        self.started += 1;
        let mut command = cgroup.command(&self.program);
        command.env("OTEL_SERVICE_NAME", "sleeper").stdin(Stdio::null());
        self.alive.push_back(Container {
            process: command.spawn()?,
            _cgroup: cgroup,
        });
        Ok(())
    }

    /// Ends the oldest and starts another, so many times a second, for this long; how many there were.
    pub(super) fn churn(&mut self, a_second: u32, during: Duration) -> Result<u64> {
        let (began, before) = (Instant::now(), self.started);
        while began.elapsed() < during {
            self.alive.pop_front();
            self.add()?;
            let due = Duration::from_secs(self.started - before) / a_second;
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        Ok(self.started - before)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended; its cgroup is removed after this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
