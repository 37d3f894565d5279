//! Reads a cgroup's path, produces whose it is: a container of a pod, of a container engine, or a systemd unit.
//!
//! Layouts (Kubernetes' cgroupfs and systemd drivers, containerd, CRI-O, Docker, podman, kind, k3s, private cgroup
//! namespaces): each is a line of the table in the tests. The deepest container wins, since clusters run in containers
//! too.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// Who a cgroup belongs to, as far as its path tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A container of a pod, or where `container` is `None`, the pod itself.
    Pod {
        /// Its uid, with dashes; static pods have 32 hexadecimal digits without.
        uid: String,
        /// The container.
        container: Option<ContainerRef>,
    },
    /// A container outside Kubernetes.
    Container(ContainerRef),
    /// A systemd service.
    Unit {
        /// Its name as systemd has it: with instance (`web@1.service`) and escapes (`\x2d`).
        name: String,
        /// The user whose manager runs it; `None` for the system's.
        user: Option<u32>,
    },
}

/// A container as its runtime knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerRef {
    /// Which runtime, where the path tells.
    pub runtime: Option<ContainerRuntime>,
    /// Its id: 64 hexadecimal digits, or LXC's name.
    pub id: String,
}

/// A container runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerRuntime {
    /// containerd, with or without Kubernetes.
    Containerd,
    /// CRI-O.
    CriO,
    /// Docker.
    Docker,
    /// podman.
    Podman,
    /// LXC and LXD.
    Lxc,
}

impl ContainerRuntime {
    /// Its name, as OpenTelemetry's `container.runtime.name` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
        }
    }
}

/// Whose cgroup this is; `None` for a session, a slice or a tree of somebody's own.
pub fn owner(path: &str) -> Option<Owner> {
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !name.is_empty() && !matches!(*name, "." | ".."))
        .collect();
    let container = names.iter().enumerate().rev().find_map(|(at, name)| {
        let above = at.checked_sub(1).and_then(|above| names.get(above)).copied();
        container(name, above).map(|container| (at, container))
    });
    let pod = names
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, name)| pod_uid(name).map(|uid| (at, uid)));
    match (pod, container) {
        // The container is the pod's own where nothing lies between them; deeper, it is one made inside the pod.
        (Some((pod, uid)), Some((at, container))) if at == pod || at == pod + 1 => Some(Owner::Pod {
            uid,
            container: Some(container),
        }),
        // A pod inside a container (kind): the container is the node.
        (Some((pod, uid)), found) if found.as_ref().is_none_or(|(at, _)| *at < pod) => {
            Some(Owner::Pod { uid, container: None })
        }
        (_, Some((_, container))) => Some(Owner::Container(container)),
        (_, None) => unit(&names),
    }
}

/// The cgroup of the container itself, where `path` is a cgroup that the container has made below its own (CRI-O's
/// `container`, a service manager's slices); `path` where it names no container.
pub fn own_cgroup(path: &str) -> &str {
    let mut at = path.len();
    loop {
        let here = path.get(..at).unwrap_or(path);
        let (above, name) = here.rsplit_once('/').unwrap_or(("", here));
        if container(name, above.rsplit('/').next().filter(|name| !name.is_empty())).is_some() {
            return here;
        }
        match above.len() {
            0 => return path,
            shorter => at = shorter,
        }
    }
}

/// The cgroup of the container that the container of `path` lies in; `None` where either is none.
pub fn around(path: &str) -> Option<&str> {
    let is_container = |path: &str| {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        container(name, above.rsplit('/').next().filter(|name| !name.is_empty())).is_some()
    };
    let own = Some(own_cgroup(path)).filter(|own| is_container(own))?;
    let (above, _) = own.rsplit_once('/')?;
    Some(own_cgroup(above)).filter(|outer| is_container(outer))
}

/// Whether a cgroup only groups others that have nothing to do with each other: the root, a slice, a user's manager. A limit
/// there makes no container.
pub fn is_group(path: &str) -> bool {
    let name = path.rsplit('/').find(|name| !name.is_empty()).unwrap_or_default();
    name.is_empty() || name.strip_suffix(".slice").is_some() || name.starts_with("user@")
}

/// The uid in a pod's directory: `pod<uid>`, or `kubepods[-burstable|-besteffort]-pod<uid, - as _>.slice`, which kind
/// prefixes with `kubelet-` and old containerd follows with `:cri-containerd:<id>`.
fn pod_uid(name: &str) -> Option<String> {
    let name = name.split(':').next()?;
    let uid = match name.strip_suffix(".slice") {
        Some(slice) => slice
            .contains("kubepods")
            .then(|| slice.rsplit_once("-pod"))
            .flatten()?
            .1
            .replace('_', "-"),
        None => name.strip_prefix("pod")?.to_owned(),
    };
    let groups: Vec<usize> = uid.split('-').map(str::len).collect();
    let hexadecimal = uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (hexadecimal && matches!(groups[..], [8, 4, 4, 4, 12] | [32])).then_some(uid)
}

/// The container a directory stands for. `above` is the directory it lies in.
fn container(name: &str, above: Option<&str>) -> Option<ContainerRef> {
    use ContainerRuntime::{Containerd, CriO, Docker, Lxc, Podman};

    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return Some(ContainerRef {
            runtime: Some(Lxc),
            id: name.to_owned(),
        });
    }
    if above == Some("lxc") {
        return Some(ContainerRef {
            runtime: Some(Lxc),
            id: name.to_owned(),
        });
    }
    let plain = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = plain.rsplit_once(['-', ':']).unwrap_or(("", plain));
    if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    // Old containerd puts the slice before the runtime: `kubepods-...slice:cri-containerd:<id>`.
    let prefix = prefix.rsplit(':').next().unwrap_or(prefix);
    let runtime = match prefix {
        "cri-containerd" | "nerdctl" | "containerd" => Some(Containerd),
        "crio" => Some(CriO),
        "docker" => Some(Docker),
        "libpod" | "libpod-payload" => Some(Podman),
        // The monitor of a container, not the container.
        _ if prefix.ends_with("conmon") => return None,
        "" => match above {
            Some("docker" | "actions_job") => Some(Docker),
            Some("default" | "moby") => Some(Containerd),
            Some("libpod_parent") => Some(Podman),
            _ => None,
        },
        _ => None,
    };
    Some(ContainerRef {
        runtime,
        id: id.to_ascii_lowercase(),
    })
}

/// The deepest service. A user's manager is a service too, but what it runs outside any service is a session's.
fn unit(names: &[&str]) -> Option<Owner> {
    let is_manager = |name: &str| name.starts_with("user@");
    let name = names
        .iter()
        .rev()
        .find(|name| name.ends_with(".service") && name.len() > ".service".len())?;
    // systemd puts `_` before a name that could be taken for a file of the kernel's.
    let name = name.strip_prefix('_').unwrap_or(name);
    if is_manager(name) {
        return None;
    }
    let user = names
        .iter()
        .find_map(|name| name.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok());
    Some(Owner::Unit {
        name: name.to_owned(),
        user,
    })
}
