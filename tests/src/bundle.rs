//! OCI bundles: reads what a container shall run, produces a directory that `runc` runs.
//!
//! The root file system is the host's own system directories, read-only, below a root of our own: Node.js and its
//! libraries come from the host, so nothing is downloaded and every Node.js of the cache can be tried.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{places, stage};

/// Directories that programs need, as far as the host has them.
const SYSTEM: [&str; 7] = ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/usr"];
/// Where the Node.js that was asked for is mounted, when it is not the system's.
const NODE: &str = "/opt/node";
/// Where the programs to run are mounted.
pub const APP: &str = "/app";

/// What runs as process 1 of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Init {
    /// The program itself, as most images have it.
    #[default]
    Program,
    /// A shell that waits for the program, as an image with `CMD a && b` has it; it ends as the program did.
    Shell,
}

/// What a container shall be.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name of the container, of its cgroup, and of its directory.
    pub name: String,
    /// Limit of its memory, bytes.
    pub memory: Option<u64>,
    /// The program and its arguments; a first element `node` is the Node.js of `node`.
    pub command: Vec<String>,
    /// The Node.js to use: the default one, or one of the cache.
    pub node: Option<PathBuf>,
    /// Its environment, beside `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Process 1.
    pub init: Init,
    /// Size of a /dev/shm of its own, bytes; without one it has none.
    pub shm: Option<u64>,
    /// A file of the host's, and where it is inside.
    pub file: Option<(PathBuf, String)>,
    /// Directory below the stage's cgroup; `None` puts the container's own name there.
    pub cgroup: Option<String>,
}

impl Spec {
    /// A container that runs a fixture with the default Node.js.
    pub fn fixture(name: &str, memory: Option<u64>, script: &str, arguments: &[&str]) -> Self {
        let script = format!("{APP}/{script}");
        let command = ["node", &script].into_iter().chain(arguments.iter().copied());
        Self {
            name: name.to_owned(),
            memory,
            command: command.map(str::to_owned).collect(),
            node: None,
            environment: BTreeMap::new(),
            init: Init::Program,
            shm: None,
            file: None,
            cgroup: None,
        }
    }

    /// The same, with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same, below a shell.
    #[must_use]
    pub const fn below_a_shell(mut self) -> Self {
        self.init = Init::Shell;
        self
    }

    /// Path of its cgroup, the same in every hierarchy.
    pub fn cgroup_path(&self) -> String {
        format!("/{}/{}", stage::name(), self.cgroup.as_ref().unwrap_or(&self.name))
    }
}

/// Writes the bundle into `directory`.
pub fn write(directory: &Path, spec: &Spec) -> Result<()> {
    let root = directory.join("rootfs");
    let node = match &spec.node {
        Some(node) => node.clone(),
        None => places::node().context("no Node.js; `cargo xtask setup`")?,
    };
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]}),
        // As every engine does: by it Node.js learns the container's limit and sizes its heap.
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}),
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777", "size=16m"]}),
        bind(&places::fixtures(), APP),
    ];
    if let Some(bytes) = spec.shm {
        let size = format!("size={bytes}");
        mounts.push(json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777", size]}));
    }
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    mounts.extend(spec.file.iter().map(|(file, inside)| bind(file, inside)));
    for path in SYSTEM.map(Path::new) {
        let inside = root.join(path.strip_prefix("/")?);
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_symlink() => symlink(fs::read_link(path)?, inside)?,
            Ok(meta) if meta.is_dir() => mounts.push(bind(path, &path.display().to_string())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
    }
    let mut command = spec.command.clone();
    if command.first().is_some_and(|program| program == "node") {
        command[0] = if node.starts_with("/usr") {
            node.display().to_string()
        } else {
            mounts.push(bind(&node, &format!("{NODE}/node")));
            format!("{NODE}/node")
        };
    }
    if spec.init == Init::Shell {
        // Without the last command the shell would replace itself by the program.
        command = ["/bin/sh", "-c", "\"$0\" \"$@\"; exit $?"]
            .map(str::to_owned)
            .into_iter()
            .chain(command)
            .collect();
    }
    let file = directory.join("config.json");
    let config = serde_json::to_vec_pretty(&config(spec, &command, &mounts))?;
    fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))
}

fn bind(source: &Path, destination: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", "ro"]})
}

fn config(spec: &Spec, command: &[String], mounts: &[Value]) -> Value {
    let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
    let environment = spec
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let environment: Vec<String> = [path]
        .into_iter()
        .chain(environment)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let memory = spec.memory.map(|limit| json!({"limit": limit}));
    let namespaces: &[&str] = &["pid", "ipc", "uts", "mount"];
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.name,
        "root": {"path": "rootfs", "readonly": false},
        "process": {
            "terminal": false,
            // Not root, as a careful image has it.
            "user": {"uid": 1000, "gid": 1000},
            "args": command,
            "env": environment,
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": spec.cgroup_path(),
            "resources": memory.map_or_else(|| json!({}), |memory| json!({"memory": memory})),
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
