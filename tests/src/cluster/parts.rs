//! The cluster's processes: reads the mark in every process's environment, produces their pids; kills one and starts it
//! again as it was.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::{ffi::OsStringExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The part that answers requests.
pub const API_SERVER: &str = "kube-apiserver";
/// The part that is a node of its own, where there is one.
pub(super) const MACHINE: &str = "machine";
/// The variable that marks: directory of the cluster, a colon, the part.
const MARK: &[u8] = b"OBSERVER_CLUSTER=";

/// Pids of all processes that a cluster has started, with the value of their mark.
pub fn processes() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mark = fields(&environment).find_map(|variable| variable.strip_prefix(MARK))?;
        Some((pid, String::from_utf8_lossy(mark).into_owned()))
    })
    .collect()
}

/// A part that has been killed, as it was.
#[derive(Debug)]
pub struct Killed {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    log: PathBuf,
}

/// Kills the part of this name, without a chance to say goodbye, and waits until it is gone.
pub(super) fn kill(part: &str) -> Result<Killed> {
    let ending = format!(":{part}");
    let found = processes().into_iter().find(|(_, mark)| mark.ends_with(&ending));
    let (pid, _) = found.with_context(|| format!("{part} does not run"))?;
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).with_context(|| format!("{part} has ended"));
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let killed = Killed {
        arguments: fields(&read("cmdline")?).map(text).collect(),
        environment: fields(&read("environ")?)
            .filter_map(|variable| {
                let at = variable.iter().position(|byte| *byte == b'=')?;
                Some((text(&variable[..at]), text(&variable[at + 1..])))
            })
            .collect(),
        directory: fs::read_link(format!("/proc/{pid}/cwd"))?,
        log: fs::read_link(format!("/proc/{pid}/fd/1"))?,
    };
    kill_process(Pid::from_raw(pid).context("no pid")?, Signal::KILL).context("cannot kill it")?;
    let deadline = Instant::now() + Duration::from_secs(30);
    // It is nobody's child here, so that its end can only be looked for. Its memory, and with it its environment, goes before
    // its sockets do: only a zombie holds its port no longer.
    while !has_ended(pid) {
        ensure!(Instant::now() < deadline, "{part} was killed and is still there");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(killed)
}

/// Whether nothing of the process is left but its entry: its first thread may be a zombie while others still hold its sockets.
fn has_ended(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    if threads > 1 {
        return false;
    }
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with(['Z', 'X']))
    })
}

impl Killed {
    /// Starts it again with the arguments and the environment it had; `cluster down` finds it by the same mark.
    pub fn start_again(&self) -> Result<()> {
        let (program, arguments) = self.arguments.split_first().context("it had no arguments")?;
        let log = File::options().append(true).create(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn();
        let mut child = child.with_context(|| format!("cannot start {}", program.display()))?;
        // Reaped when it ends, or a zombie of it would outlive the cluster.
        thread::spawn(move || child.wait());
        Ok(())
    }
}

/// The texts of a file in which each ends with a zero.
fn fields(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == 0).filter(|field| !field.is_empty())
}
