//! What the cluster changes on its host outside its directory: reads the host, produces the bridge, and takes back the
//! bridge, mounts, cgroups, kernel settings and links.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::place::{API_ADDRESS, BRIDGE, MACHINE_DEVICE, NODE_ADDRESS, Place};
use crate::shell;

/// Kernel settings that a kubelet and a CNI bridge change; set back by `down`.
const SETTINGS: [&str; 7] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
];
/// The kubelet's cgroup, in each hierarchy.
const PODS: &str = "kubepods";

/// Directories that parts make although configured to use others, inner ones first.
const EMPTY_DIRECTORIES: [&str; 10] = [
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/usr/libexec/kubernetes/kubelet-plugins/volume/exec",
    "/usr/libexec/kubernetes/kubelet-plugins/volume",
    "/usr/libexec/kubernetes/kubelet-plugins",
    "/usr/libexec/kubernetes",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/run/containerd/s",
    "/run/containerd",
];

/// The bridge, with the node's address and that of the API server's Service. A network plugin that was at work when its container
/// runtime ended makes one, even after `down` has removed the cluster's.
pub(super) fn make_bridge() -> Result<()> {
    remove_bridge()?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", &format!("{NODE_ADDRESS}/24"), "dev", BRIDGE])?;
    ip(&["address", "add", &format!("{API_ADDRESS}/32"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

/// The machine's device, on the bridge.
pub(super) fn make_machine_device() -> Result<()> {
    ip(&["tuntap", "add", "dev", MACHINE_DEVICE, "mode", "tap"])?;
    ip(&["link", "set", MACHINE_DEVICE, "master", BRIDGE, "up"])
}

/// The bridge and the machine's device, where they are there.
pub(super) fn remove_bridge() -> Result<()> {
    for device in [MACHINE_DEVICE, BRIDGE] {
        if Path::new("/sys/class/net").join(device).exists() {
            ip(&["link", "delete", device])?;
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    shell::quiet(shell::command("ip", arguments)).map(drop)
}

/// Keeps the kernel settings as they were before the cluster.
pub(super) fn keep_settings(place: &Place) -> Result<()> {
    let lines = SETTINGS.iter().filter_map(|name| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        Some(format!("{name} {}\n", value.trim()))
    });
    let path = place.at("settings");
    fs::write(&path, lines.collect::<String>()).with_context(|| format!("cannot write {}", path.display()))
}

/// Sets back what differs.
pub(super) fn restore_settings(place: &Place) -> Result<()> {
    let kept = fs::read_to_string(place.at("settings")).unwrap_or_default();
    for (name, value) in kept.lines().filter_map(|line| line.split_once(' ')) {
        let path = Path::new("/proc/sys").join(name);
        if fs::read_to_string(&path).is_ok_and(|now| now.trim() != value) {
            fs::write(&path, value).with_context(|| format!("cannot set {} back to {value}", path.display()))?;
        }
    }
    Ok(())
}

/// Unmounts everything below the cluster's directory, the last one first.
pub(super) fn unmount(place: &Place) -> Result<()> {
    let listed = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let below = format!("{}/", place.root().display());
    let points = listed.lines().filter_map(|line| line.split(' ').nth(4));
    let ours: Vec<&str> = points.filter(|point| point.starts_with(&below)).collect();
    for point in ours.into_iter().rev() {
        rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH)
            .map_err(io::Error::from)
            .with_context(|| format!("cannot unmount {point}"))?;
    }
    Ok(())
}

/// The pods' cgroup in every hierarchy that has one.
pub(super) fn pod_cgroups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let candidates = hierarchies
        .chain([root.to_path_buf()])
        .map(|hierarchy| hierarchy.join(PODS));
    // Hierarchies mounted together are links to one another.
    let unique: BTreeSet<PathBuf> = candidates.filter_map(|path| path.canonicalize().ok()).collect();
    unique.into_iter().collect()
}

/// Kills what is in the pods' cgroups and removes them, deepest first.
pub(super) fn remove_pod_cgroups() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut left = Vec::new();
        for top in pod_cgroups() {
            empty(&top, &mut left);
        }
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("cannot remove these cgroups, {}", left.join("; "));
        }
        // A killed process leaves its cgroup some time later, and nothing tells when in v1.
        thread::sleep(Duration::from_millis(50));
    }
}

fn empty(cgroup: &Path, left: &mut Vec<String>) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            empty(&entry.path(), left);
        }
    }
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in members
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter_map(Pid::from_raw)
    {
        // Gone since it was listed is as good as killed.
        let _ = kill_process(pid, Signal::KILL);
    }
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => left.push(format!("{}: {error}", cgroup.display())),
        _ => {}
    }
}

/// The kubelet's links to logs and CNI's memory of results lie outside the directory, at paths that nobody can set.
pub(super) fn remove_traces(place: &Place) {
    let log_links = entries("/var/log/containers")
        .filter(|path| fs::read_link(path).is_ok_and(|target| target.starts_with(place.root())));
    // Each names the network namespace it was for, which is below the cluster's directory.
    let mark = place.root().as_os_str().as_encoded_bytes().to_vec();
    let results = entries("/var/lib/cni/results").filter(|path| {
        let text = fs::read(path).unwrap_or_default();
        text.windows(mark.len()).any(|window| window == mark)
    });
    for path in log_links.chain(results) {
        // Left behind it does no harm.
        let _ = fs::remove_file(path);
    }
    // The kubelet of this cluster was this host's only one (`up` refuses another).
    let _ = fs::remove_file("/var/lib/kubelet/device-plugins/kubelet.sock");
    for directory in EMPTY_DIRECTORIES {
        // Removed only where it is empty.
        let _ = fs::remove_dir(directory);
    }
}

/// Sockets of containerd's shims, which stand outside of its directory; each task's bundle names its own.
pub(super) fn shim_sockets(place: &Place) -> Vec<PathBuf> {
    let tasks = place.text("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    entries(&tasks)
        .filter_map(|bundle| fs::read_to_string(bundle.join("address")).ok())
        .filter_map(|address| address.trim().strip_prefix("unix://").map(PathBuf::from))
        .collect()
}

fn entries(directory: &str) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}
