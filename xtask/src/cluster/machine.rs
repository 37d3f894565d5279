//! The node as a virtual machine: reads Debian's kernel, this host's programs and the cluster's files, produces a kubelet
//! and containerd on cgroup v2 under emulation, on the bridge of this host.
//!
//! The machine has what a node has and no more; it boots from one archive into memory. What a node's disk keeps over a boot
//! (containers, images, logs, the agent's store) is on a disk of its own, which is thrown away with the cluster. Pods hang on
//! its own bridge, which is joined to this host's: each reaches the other, the API server and this host.

use std::{
    fs,
    io::{Read as _, copy},
    net::{Shutdown, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{counterpart::KUBERNETES, places};

use super::{
    configuration, part,
    place::{BRIDGE, LOAD_PORT, MACHINE, MACHINE_ADDRESS, MACHINE_DEVICE, NODE, NODE_ADDRESS, Place},
    runtime,
};
use crate::{
    architecture::Architecture,
    guest::{self, RELEASES, Tree, executable},
    shell,
};

/// How long its kubelet may take: emulation is some twenty times slower than the processor.
pub(super) const PATIENCE: Duration = Duration::from_mins(20);
/// What it holds in memory: its root, containers.
const MEMORY: &str = "4G";
/// Size of its disk, bytes: images, containers, the agent's store. The file takes what is written.
const DISK: u64 = 6 << 30;
/// The kernel: the newest series that a stable release of Debian carries.
const SERIES: &str = "6.12";
/// Modules that its network, disk and images need, in the order of their needs.
const MODULES: [&str; 9] = [
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "llc",
    "stp",
    "bridge",
    "veth",
    "overlay",
];
/// CNI plugins that the pods' network names.
const PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];
const CNI: &str = "/usr/lib/cni";
/// What it does: `/init`.
const INIT: &str = include_str!("machine.sh");
/// What it does with whoever brings an image.
const LOAD: &str = "#!/bin/busybox sh\nctr --address @SOCKET@ --namespace k8s.io images import - 2>&1 && echo taken\n";

/// Whether the node is to be a machine, by the cgroup version that was asked for.
pub(super) fn wanted(cgroup: Option<u8>) -> Result<bool> {
    let own = places::memory_controller().map(|(_, version)| version);
    match cgroup {
        None => Ok(false),
        Some(version) if own == Some(version) => Ok(false),
        Some(2) => match guest::impossible(Architecture::X86_64) {
            Some(reason) => bail!("{reason}"),
            None => Ok(true),
        },
        Some(version) => bail!("this host has no cgroup v{version}, and a virtual machine is there for version 2 only"),
    }
}

/// Notes that the cluster's node is a machine.
pub(super) fn mark(place: &Place) -> Result<()> {
    fs::write(place.at(MACHINE), []).context("cannot note that the node is a machine")
}

/// Packs its root and starts it.
pub(super) fn start(place: &Place, programs: &runtime::Programs) -> Result<()> {
    let release = RELEASES.iter().find(|release| release.series == SERIES);
    let kernel = guest::kernel(release.context("no such series")?, Architecture::X86_64)?;
    println!("cluster: packing the machine's root");
    let archive = place.at("machine.cpio");
    pack(place, programs, &kernel, &archive)?;
    let disk = place.at("machine.disk");
    make_disk(&disk)?;
    let emulator = places::program("qemu-system-x86_64").context("no qemu-system-x86_64")?;
    let mut command = std::process::Command::new(&emulator);
    guest::emulator(&mut command, &kernel, &archive, MEMORY, "cgroup_no_v1=all", false);
    let mut arguments: Vec<String> = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    for (name, value) in [
        ("-serial", format!("file:{}", place.text("log/console.log"))),
        ("-serial", format!("file:{}", place.text("log/node.log"))),
        (
            "-netdev",
            format!("tap,id=bridge,ifname={MACHINE_DEVICE},script=no,downscript=no"),
        ),
        ("-device", "virtio-net-pci,netdev=bridge,romfile=".to_owned()),
        ("-drive", format!("file={},format=raw,if=none,id=disk", disk.display())),
        ("-device", "virtio-blk-pci,drive=disk".to_owned()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    part::start(place, MACHINE, &emulator, &arguments)
}

/// An empty disk with a file system.
fn make_disk(disk: &Path) -> Result<()> {
    let file = fs::File::create(disk).with_context(|| format!("cannot create {}", disk.display()))?;
    file.set_len(DISK)
        .with_context(|| format!("cannot size {}", disk.display()))?;
    let program = places::program("mkfs.ext4").context("no mkfs.ext4: `apt-get install e2fsprogs`")?;
    let mut make = std::process::Command::new(program);
    make.arg("-q").arg(disk);
    shell::quiet(make).map(drop)
}

fn pack(place: &Place, programs: &runtime::Programs, kernel: &guest::Image, archive: &Path) -> Result<()> {
    let mut tree = Tree::new(place.at("machine-root"));
    for directory in ["bin", "sbin", "etc", "usr/sbin"] {
        tree.directory(directory)?;
    }
    let containerd = &programs.containerd;
    for (program, to) in [
        (places::program("busybox").context("no busybox")?, "/bin/busybox"),
        (containerd.clone(), "/usr/bin/containerd"),
        (containerd.with_file_name("ctr"), "/usr/bin/ctr"),
        (
            containerd.with_file_name("containerd-shim-runc-v2"),
            "/usr/bin/containerd-shim-runc-v2",
        ),
        (places::program("runc").context("no runc")?, "/usr/sbin/runc"),
        (KUBERNETES.program("kubelet").context("no kubelet")?, "/usr/bin/kubelet"),
    ] {
        tree.program(&program, Path::new(to))?;
    }
    for plugin in PLUGINS {
        tree.program(&programs.cni.join(plugin), &Path::new(CNI).join(plugin))?;
    }
    let modules = tree.modules(kernel, &MODULES)?.join(" ");
    let configuration = configuration::containerd_file(place, Path::new(CNI), "overlayfs");
    fs::write(place.at("containerd.toml"), configuration).context("cannot write containerd.toml")?;
    for below in [
        "pki/ca.crt",
        "pki/kubelet.crt",
        "pki/kubelet.key",
        "kubelet.kubeconfig",
        "kubelet.yaml",
        "containerd.toml",
        "resolv.conf",
        "cni/conf/10-observer.conflist",
        "images/pause.tar",
        "images/node.tar",
    ] {
        tree.file(&place.at(below), &place.at(below))?;
    }
    for (to, text) in [
        ("/etc/hosts", "127.0.0.1 localhost\n"),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/resolv.conf", ""),
        ("/etc/group", "root:x:0:\n"),
        // Nothing tells two machines apart: there is one.
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ] {
        fs::write(tree.at(Path::new(to)), text)?;
    }
    for (to, script) in [("/init", INIT), ("/bin/load", LOAD)] {
        let path = tree.at(Path::new(to));
        fs::write(&path, filled(place, script, &modules))
            .with_context(|| format!("cannot write {}", path.display()))?;
        executable(&path)?;
    }
    tree.pack(archive)?;
    tree.remove()
}

/// A script with the cluster's names and addresses, and the kernel's modules.
fn filled(place: &Place, script: &str, modules: &str) -> String {
    let kubelet = configuration::kubelet(place).join(" ");
    [
        ("@MODULES@", modules.to_owned()),
        ("@NODE@", NODE.to_owned()),
        ("@BRIDGE@", BRIDGE.to_owned()),
        ("@ADDRESS@", MACHINE_ADDRESS.to_owned()),
        ("@GATEWAY@", NODE_ADDRESS.to_owned()),
        ("@DIRECTORY@", place.root().display().to_string()),
        ("@SOCKET@", place.socket().display().to_string()),
        ("@LOAD_PORT@", LOAD_PORT.to_string()),
        ("@KUBELET@", kubelet),
    ]
    .iter()
    .fold(script.to_owned(), |script, (name, value)| script.replace(name, value))
}

/// Hands it an image; what its containerd says.
pub(super) fn load(archive: &Path) -> Result<String> {
    let mut file = fs::File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let failed = || format!("the machine does not take {}", archive.display());
    let mut connection = TcpStream::connect((MACHINE_ADDRESS, LOAD_PORT)).with_context(failed)?;
    copy(&mut file, &mut connection).with_context(failed)?;
    connection.shutdown(Shutdown::Write).with_context(failed)?;
    let mut said = String::new();
    connection.read_to_string(&mut said).with_context(failed)?;
    match said.strip_suffix("taken\n") {
        Some(said) => Ok(said.to_owned()),
        None => bail!("{}: {said}", failed()),
    }
}
