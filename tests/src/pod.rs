//! The agent in a container as the chart's DaemonSet has it: reads what of that is taken away, produces a bundle that
//! `runc` runs, and what became of the agent in it.
//!
//! The capabilities, mounts and namespaces are read from the rendered chart, so that this cannot differ from it.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{places, stage};

/// Where the agent lies in the image.
const AGENT: &str = "/observer";
/// Directories that the test's agent, which is not static, loads its libraries from.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ssl"];
/// What a container engine hides of /proc and /sys, and what it makes read-only.
const MASKED: [&str; 8] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Something that the chart gives the agent, called as in docs/security.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// A capability, as Kubernetes spells it.
    Capability(String),
    /// A mount, by where the agent sees it.
    Mount(String),
    /// The host's pids.
    HostPid,
    /// uid 0.
    Root,
    /// The kernel's types, which every container sees unless its engine hides them.
    Btf,
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Capability(name) | Self::Mount(name) => f.write_str(name),
            Self::HostPid => f.write_str("hostPID"),
            Self::Root => f.write_str("uid 0"),
            Self::Btf => f.write_str("/sys/kernel/btf"),
        }
    }
}

/// A container for the agent.
#[derive(Debug)]
pub struct Pod {
    directory: stage::Scratch,
    id: String,
    capabilities: Vec<String>,
    mounts: Vec<Value>,
    host_pid: bool,
    uid: u32,
    masked: Vec<String>,
    seccomp: Option<Value>,
}

impl Pod {
    /// As the chart has it.
    pub fn new() -> Result<Self> {
        let directory = stage::Scratch::new("pod")?;
        let daemon_set = daemon_set()?;
        let spec = &daemon_set["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let added = container["securityContext"]["capabilities"]["add"].as_array();
        let added = added.context("the chart adds no capabilities")?;
        let capabilities = added.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut pod = Self {
            id: format!("pod-{}", stage::number()),
            capabilities,
            mounts: Vec::new(),
            host_pid: spec["hostPID"] == true,
            uid: u32::try_from(spec["securityContext"]["runAsUser"].as_u64().unwrap_or(65_534))?,
            masked: MASKED.map(str::to_owned).to_vec(),
            seccomp: None,
            directory,
        };
        pod.mounts = pod.mounts_of(spec, container)?;
        Ok(pod)
    }

    fn mounts_of(&self, spec: &Value, container: &Value) -> Result<Vec<Value>> {
        let volumes = spec["volumes"].as_array().context("the chart has no volumes")?;
        let mounts = container["volumeMounts"]
            .as_array()
            .context("the chart has no mounts")?;
        let mut made = Vec::new();
        for mount in mounts {
            let destination = mount["mountPath"].as_str().context("a mount without a path")?;
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
            let host = volume.and_then(|volume| volume["hostPath"]["path"].as_str());
            let how = if mount["readOnly"] == true { "ro" } else { "rw" };
            made.push(match host {
                // The store, which is the test's own.
                Some(_) if how == "rw" => {
                    let source = self.directory.file("store");
                    fs::create_dir_all(&source)?;
                    bind(&source, destination, how)
                }
                Some(host) => bind(Path::new(host), destination, how),
                None => json!({"destination": destination, "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "nodev", "mode=755", "size=1m"]}),
            });
        }
        Ok(made)
    }

    /// All that the chart gives.
    pub fn given(&self) -> Vec<Given> {
        let mounts = self.mounts.iter().filter_map(|mount| mount["destination"].as_str());
        self.capabilities
            .iter()
            .cloned()
            .map(Given::Capability)
            .chain(mounts.map(|mount| Given::Mount(mount.to_owned())))
            .chain([Given::HostPid, Given::Root, Given::Btf])
            .collect()
    }

    /// The same without this.
    #[must_use]
    pub fn without(mut self, given: &Given) -> Self {
        match given {
            Given::Capability(name) => self.capabilities.retain(|capability| capability != name),
            Given::Mount(path) => {
                self.mounts.retain(|mount| mount["destination"] != path.as_str());
                if path == "/sys/fs/cgroup" {
                    // What an engine mounts there by itself: the container's own cgroup.
                    self.mounts
                        .push(json!({"destination": path, "type": "cgroup", "source": "cgroup",
                        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}));
                }
            }
            Given::HostPid => self.host_pid = false,
            Given::Root => self.uid = 65_532,
            Given::Btf => self.masked.push("/sys/kernel/btf".into()),
        }
        self
    }

    /// The same under a seccomp profile, which kills the agent for a call outside of it instead of refusing the call.
    pub fn killed_outside(mut self, profile: &Path) -> Result<Self> {
        let text = fs::read_to_string(profile).with_context(|| format!("cannot read {}", profile.display()))?;
        let mut seccomp: Value = serde_json::from_str(&text).context("no seccomp profile")?;
        let members = seccomp.as_object_mut().context("no seccomp profile")?;
        members.insert("defaultAction".into(), "SCMP_ACT_KILL_PROCESS".into());
        members.remove("defaultErrnoRet");
        self.seccomp = Some(seccomp);
        Ok(self)
    }

    /// A directory that the container sees under the same path.
    #[must_use]
    pub fn sees(mut self, directory: &Path) -> Self {
        self.mounts
            .push(bind(directory, &directory.display().to_string(), "rw"));
        self
    }

    /// `runc` that runs the agent with these arguments and variables, and ends as it does.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command> {
        let root = self.directory.file("rootfs");
        fs::create_dir_all(&root)?;
        for path in ["/lib", "/lib64"].map(Path::new) {
            let inside = root.join(path.strip_prefix("/")?);
            if path.is_symlink() && !inside.is_symlink() {
                symlink(fs::read_link(path)?, inside)?;
            }
        }
        let libraries = LIBRARIES
            .map(Path::new)
            .into_iter()
            .filter(|path| path.is_dir() && !path.is_symlink());
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]}),
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}),
        ];
        mounts.extend(libraries.map(|path| bind(path, &path.display().to_string(), "ro")));
        // As the kubelet does: names are looked up by these.
        let names = ["/etc/hosts", "/etc/resolv.conf"]
            .map(Path::new)
            .into_iter()
            .filter(|file| file.is_file());
        mounts.extend(names.map(|file| bind(file, &file.display().to_string(), "ro")));
        mounts.push(bind(&places::agent(), AGENT, "ro"));
        mounts.extend(self.mounts.iter().cloned());
        let held: Vec<String> = self.capabilities.iter().map(|name| format!("CAP_{name}")).collect();
        let environment: Vec<String> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut namespaces = vec![json!({"type": "ipc"}), json!({"type": "uts"}), json!({"type": "mount"})];
        if !self.host_pid {
            namespaces.push(json!({"type": "pid"}));
        }
        let program = [&[AGENT], arguments].concat();
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": root, "readonly": true},
            "process": {
                "terminal": false,
                "user": {"uid": self.uid, "gid": 0},
                "args": program,
                "env": environment,
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": {"bounding": held, "effective": held, "permitted": held},
            },
            "mounts": mounts,
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("/{}/{}", stage::name(), self.id),
                "resources": {},
                "maskedPaths": self.masked,
                "readonlyPaths": READ_ONLY,
                "seccomp": self.seccomp,
            },
        });
        fs::write(self.directory.file("config.json"), config.to_string()).context("cannot write config.json")?;
        let mut command = Command::new(places::program("runc").context("no runc")?);
        command
            .arg("--root")
            .arg(stage::runc_root())
            .args(["run", "--bundle"])
            .arg(self.directory.path())
            .arg(&self.id);
        Ok(command)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(runc) = places::program("runc") {
            // Where it has ended there is nothing to delete.
            let _ = Command::new(runc)
                .arg("--root")
                .arg(stage::runc_root())
                .args(["delete", "--force", &self.id])
                .output();
        }
    }
}

fn bind(source: &Path, destination: &str, how: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", how]})
}

/// The DaemonSet of the plain manifest, which is the chart's.
fn daemon_set() -> Result<Value> {
    let path = places::workspace().join("deploy/kubernetes/observer.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = serde_norway::Deserializer::from_str(&text);
    for document in documents {
        let value: Value = serde::Deserialize::deserialize(document).context("the manifest is no YAML")?;
        if value["kind"] == "DaemonSet" {
            return Ok(value);
        }
    }
    anyhow::bail!("the manifest has no DaemonSet")
}
