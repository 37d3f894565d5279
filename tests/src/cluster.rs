//! The test cluster as a test uses it: reads nothing, produces a running one, images in it, and `kubectl`.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{app, counterpart::KUBERNETES, lines::Lines, places};

/// Longest time for anything a cluster is waited for.
pub const DEADLINE: Duration = Duration::from_mins(3);

/// A cluster of this test's own; ended on drop.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
}

impl Cluster {
    /// A fresh one: `cargo xtask cluster`, as people start it.
    pub fn up() -> Result<Self> {
        xtask(&["cluster", "down"])?;
        let printed = xtask(&["cluster", "up"])?;
        let kubeconfig = printed
            .lines()
            .find_map(|line| line.strip_prefix("export KUBECONFIG="))
            .with_context(|| format!("`cargo xtask cluster up` names no KUBECONFIG:\n{printed}"))?;
        Ok(Self {
            kubeconfig: kubeconfig.into(),
        })
    }

    /// Ends it; fails where something of it stays.
    pub fn down(self) -> Result<()> {
        xtask(&["cluster", "down"]).map(drop)
    }

    /// Hands it the agent that this workspace has built, as the image that the manifest names.
    pub fn load_agent(&self, scratch: &Path) -> Result<()> {
        let archive = scratch.join("observer.oci.tar").display().to_string();
        let agent = places::agent().display().to_string();
        xtask(&["image", "--built", &agent, "--output", &archive])?;
        xtask(&["cluster", "load", &archive]).map(drop)
    }

    /// `kubectl ARGUMENTS`
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(KUBERNETES.program("kubectl").context("kubectl is not built")?);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        Ok(command)
    }

    /// What `kubectl ARGUMENTS` prints.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        printed(&mut self.kubectl(arguments)?)
    }

    /// Applies a manifest's text.
    pub fn apply(&self, manifest: &str, options: &[&str]) -> Result<String> {
        let mut command = self.kubectl(&[&["apply", "-f", "-"], options].concat())?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl")?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(manifest.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "kubectl apply: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
    }

    /// The first object that `kubectl get ARGUMENTS -o json` lists for which `wanted` has something.
    pub fn wait<T>(&self, what: &str, arguments: &[&str], wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            let listed: Value = serde_json::from_str(&self.ask(&[&["get", "-o", "json"], arguments].concat())?)?;
            let items = listed["items"].as_array().into_iter().flatten();
            if let Some(found) = items.into_iter().find_map(&wanted) {
                return Ok(found);
            }
            if started.elapsed() > DEADLINE {
                bail!("{what}: not within {} s; the last answer: {listed}", DEADLINE.as_secs());
            }
            // The look-out for the API server's next answer.
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Lines of a workload's log, from its beginning on; the process that reads them ends with the value.
    pub fn follow(&self, namespace: &str, of: &str) -> Result<Following> {
        let mut command = self.kubectl(&["logs", "--namespace", namespace, "--follow", of])?;
        let mut child = app::dies_with_us(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start kubectl")?;
        let lines = Lines::of(child.stdout.take().context("no standard output")?);
        Ok(Following { child, lines })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Where it was ended before there is nothing to do.
        let _ = xtask(&["cluster", "down"]);
    }
}

/// A log that is being read.
#[derive(Debug)]
pub struct Following {
    child: Child,
    /// Its lines.
    pub lines: Lines,
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pids of all processes that a cluster has started.
pub fn processes() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mark = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"OBSERVER_CLUSTER="))?;
        Some((pid, String::from_utf8_lossy(mark).into_owned()))
    })
    .collect()
}

fn xtask(arguments: &[&str]) -> Result<String> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(arguments)
        .current_dir(places::workspace());
    printed(&mut command)
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed: {}\n{text}{said}",
        output.status
    );
    Ok(text)
}
