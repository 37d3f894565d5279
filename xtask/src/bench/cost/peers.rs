//! What people trace memory with otherwise: reads Debian's packages, produces loads for paired runs: `memleak` of bcc's
//! libbpf-tools on this process, and a script for bpftrace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{app::dies_with_us, places};

use super::pairs::Load;
use crate::guest;

/// The first of Debian's releases whose `libbpf-tools` has `memleak`. Unpacked with the libraries it needs, and run by their own
/// loader: this system's may be older.
const SUITE: &str = "trixie";
const PACKAGES: [&str; 6] = ["libbpf-tools", "libbpf1", "libelf1t64", "zlib1g", "libzstd1", "libc6"];
/// Bytes that processes map, by process and by the stack that asks, as one-line recipes for leaks do.
const SCRIPT: &str = "
tracepoint:syscalls:sys_enter_mmap { @mapped[pid, ustack] = sum(args->len); }
tracepoint:syscalls:sys_enter_munmap { @unmapped[pid] = sum(args->len); }
tracepoint:syscalls:sys_enter_brk { @brk[pid] = count(); }
";
/// bpftrace looks tracepoints up in tracefs, which a host need not have mounted: in a mount namespace of its own. `$0` is the
/// program.
const TRACEFS: &str = r#"mount -t tracefs tracefs /sys/kernel/tracing && exec "$0" "$@""#;
/// Longest until its probes are attached.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
/// Looks in a row at which it has the same number of programs: it attaches no more.
const SETTLED: usize = 5;

/// The loads that can be had here, and for each other one why not.
pub(super) fn loads() -> (Vec<Load<'static>>, Vec<String>) {
    let (mut loads, mut missing) = (Vec::new(), Vec::new());
    match memleak() {
        Ok(root) => loads.push(Load::new("`memleak -p` on the measured process", move || {
            let mut command = Command::new(library(&root, "ld-linux-x86-64.so.2")?);
            let libraries = root.join("usr/lib/x86_64-linux-gnu");
            command
                .arg("--library-path")
                .arg(libraries)
                .arg(root.join("usr/sbin/memleak-libbpf"));
            // Nothing is printed before an hour.
            command.args(["-p", &std::process::id().to_string(), "3600"]);
            Tracer::start(command)
        })),
        Err(error) => missing.push(format!("`memleak` ({error:#})")),
    }
    match places::program("bpftrace") {
        Some(program) => loads.push(Load::new("a bpftrace script on mmap, munmap and brk", move || {
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "sh", "-c", TRACEFS])
                .arg(&program)
                .args(["-e", SCRIPT]);
            Tracer::start(command)
        })),
        None => missing.push("bpftrace (`apt-get install bpftrace`)".into()),
    }
    (loads, missing)
}

/// The root that `memleak` runs in, unpacked into the cache where it is missing.
fn memleak() -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("only x86-64 packages are taken");
    }
    let root = places::cache().join("counterparts/debian-libbpf-tools");
    let finished = root.join("finished");
    if !finished.exists() {
        for package in PACKAGES {
            guest::unpack_of(SUITE, package, &root)?;
        }
        fs::write(&finished, "")?;
    }
    Ok(root)
}

/// The loader among a root's libraries.
fn library(root: &Path, name: &str) -> Result<PathBuf> {
    ["usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64"]
        .into_iter()
        .map(|below| root.join(below).join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no {name} below {}", root.display()))
}

/// A program that has attached its probes; ended on drop.
struct Tracer(Child);

impl Tracer {
    fn start(mut command: Command) -> Result<Self> {
        let child = dies_with_us(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut tracer = Self(child);
        let deadline = Instant::now() + PATIENCE;
        let (mut before, mut settled) = (0, 0);
        while settled < SETTLED {
            if let Some(status) = tracer.0.try_wait()? {
                bail!("{} ended ({status})", command.get_program().display());
            }
            if Instant::now() > deadline {
                bail!("{} attaches nothing", command.get_program().display());
            }
            thread::sleep(PAUSE);
            let now = tracer.attached()?;
            settled = if now > 0 && now == before { settled + 1 } else { 0 };
            before = now;
        }
        Ok(tracer)
    }

    /// Probes that it holds: perf events, or links of BPF programs.
    fn attached(&self) -> Result<usize> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.0.id()))?;
        Ok(descriptors
            .filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok())
            .filter(|target| {
                let target = target.to_string_lossy();
                target.contains("[perf_event]") || target.contains("bpf_link") || target.contains("bpf-link")
            })
            .count())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may have ended. Without a word of its own: it would print all it has seen.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
