//! The cluster's processes: reads every process's environment, produces those of this cluster.
//!
//! Each part is started with a mark in its environment, and containerd's shims inherit it. That is the only record of
//! what runs: a file with a pid would be missing for what was started just before a kill, and lie after a reboot or
//! once the pid is somebody else's. A process is ended through a pidfd opened before its mark was read, so that the
//! one that is signalled is the one that was looked at.

use std::{
    env,
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::place::Place;

/// The variable that marks: directory of the cluster, a colon, the part.
const MARK: &str = "OBSERVER_CLUSTER";

/// A process of the cluster.
pub(super) struct Part {
    /// Which: `etcd`, `kubelet`; a shim is found as `containerd`, which started it.
    pub(super) name: String,
    /// For people to read.
    pub(super) pid: i32,
    handle: OwnedFd,
}

/// Starts a part that outlives this program, with its output in the part's log.
pub(super) fn start(place: &Place, name: &str, program: &Path, arguments: &[String]) -> Result<()> {
    let log = place.log(name);
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output
        .try_clone()
        .with_context(|| format!("cannot share {}", log.display()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(place.root())
        .env_clear()
        .env("PATH", search_path(program)?)
        .env("HOME", place.root())
        .env(MARK, format!("{}:{name}", place.root().display()))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // A terminal's interrupt reaches its foreground group only.
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // `spawn` returns when the new program is on its way in; its environment can be read a moment later.
    let pid = child.id().cast_signed();
    while mark_of(pid, place).is_none() && child.try_wait().is_ok_and(|ended| ended.is_none()) {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The program's own directory (containerd looks for its shim) before the system's.
fn search_path(program: &Path) -> Result<std::ffi::OsString> {
    let own = program.parent().map(Path::to_path_buf);
    let system = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    env::join_paths(own.into_iter().chain(system.map(PathBuf::from))).context("a directory's name contains a colon")
}

/// All processes of the cluster, lowest pid first.
pub(super) fn running(place: &Place) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let name = entry.context("cannot list /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may be gone at any of these steps: then it is not running.
        let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            continue;
        };
        if let Some(name) = mark_of(pid, place) {
            parts.push(Part { name, pid, handle });
        }
    }
    parts.sort_by_key(|part| part.pid);
    Ok(parts)
}

/// The part that this process is, where it is one.
fn mark_of(pid: i32, place: &Place) -> Option<String> {
    let mark = format!("{MARK}={}:", place.root().display());
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let name = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(mark.as_bytes()))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Ends the parts that `which` names: asked to, and killed when they do not within `patience`. What one of them started
/// while it was listed is found by the next look.
pub(super) fn end(place: &Place, patience: Duration, which: impl Fn(&str) -> bool) -> Result<()> {
    loop {
        let parts: Vec<Part> = running(place)?.into_iter().filter(|part| which(&part.name)).collect();
        if parts.is_empty() {
            return Ok(());
        }
        end_these(&parts, patience)?;
    }
}

fn end_these(parts: &[Part], patience: Duration) -> Result<()> {
    for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(20))] {
        for part in parts {
            signal_if_there(part, signal)?;
        }
        let deadline = Instant::now() + patience;
        if parts.iter().all(|part| ended_by(part, deadline)) {
            return Ok(());
        }
    }
    let left: Vec<String> = parts
        .iter()
        .map(|part| format!("{} ({})", part.name, part.pid))
        .collect();
    bail!("killed, and still there: some of {}", left.join(", "))
}

fn signal_if_there(part: &Part, signal: Signal) -> Result<()> {
    match pidfd_send_signal(&part.handle, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(io::Error::from(error)).with_context(|| format!("cannot end {} ({})", part.name, part.pid)),
    }
}

/// A pidfd becomes readable when its process has ended.
fn ended_by(part: &Part, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut polled = [PollFd::new(&part.handle, PollFlags::IN)];
    poll(&mut polled, Some(&timeout)).is_ok_and(|ready| ready > 0)
}
