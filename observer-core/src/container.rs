//! Reads a cgroup's path, produces whose it is: a container of a pod, of a container engine, or a systemd unit.
//!
//! Layouts (Kubernetes' cgroupfs and systemd drivers, containerd, CRI-O, Docker, podman, kind, k3s, private cgroup
//! namespaces): each is a line of the table in the tests. The deepest container wins, since clusters run in containers
//! too.

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

/// Whether a cgroup only groups others that have nothing to do with each other: the root, a slice, a user's manager. A limit
/// there makes no container.
pub fn is_group(path: &str) -> bool {
    let name = path.rsplit('/').find(|name| !name.is_empty()).unwrap_or_default();
    name.is_empty() || name.ends_with(".slice") || name.starts_with("user@")
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "3d5a1f0c9e7b4a62815c0f9d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a";
    const NODE: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    const UID: &str = "0f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f";

    /// A path with `{id}`, `{node}`, `{uid}` and `{uid_}` filled in.
    fn path(template: &str) -> String {
        template
            .replace("{id}", ID)
            .replace("{node}", NODE)
            .replace("{uid}", UID)
            .replace("{uid_}", &UID.replace('-', "_"))
    }

    /// `pod/runtime`, `runtime`, `unit` or `-`.
    fn told(template: &str) -> String {
        let runtime = |container: &ContainerRef| container.runtime.map_or("?", ContainerRuntime::name);
        match owner(&path(template)) {
            Some(Owner::Pod { uid, container }) => {
                assert!(uid == UID || uid.len() == 32, "{template}: {uid}");
                assert!(
                    container.as_ref().is_none_or(|container| container.id == ID),
                    "{template}"
                );
                format!("pod/{}", container.as_ref().map_or("-", runtime))
            }
            Some(Owner::Container(container)) => {
                assert!(
                    container.id == ID || container.runtime == Some(ContainerRuntime::Lxc),
                    "{template}"
                );
                runtime(&container).to_owned()
            }
            Some(Owner::Unit { name, user: None }) => name,
            Some(Owner::Unit { name, user: Some(user) }) => format!("{name} of {user}"),
            None => "-".to_owned(),
        }
    }

    #[test]
    fn every_layout() {
        for (template, expected) in [
            // Kubernetes, cgroupfs driver.
            ("/kubepods/burstable/pod{uid}/{id}", "pod/?"),
            ("/kubepods/besteffort/pod{uid}/{id}", "pod/?"),
            ("/kubepods/pod{uid}/{id}", "pod/?"),
            ("/kubepods/burstable/pod{uid}/crio-{id}", "pod/cri-o"),
            ("/kubepods/burstable/pod{uid}/crio-{id}/container", "pod/cri-o"),
            ("/kubepods/burstable/pod{uid}", "pod/-"),
            ("/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{id}", "pod/?"),
            // systemd driver.
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
                "pod/containerd",
            ),
            (
                "/kubepods.slice/kubepods-pod{uid_}.slice/cri-containerd-{id}.scope",
                "pod/containerd",
            ),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/crio-{id}.scope",
                "pod/cri-o",
            ),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/crio-{id}.scope/container",
                "pod/cri-o",
            ),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/docker-{id}.scope",
                "pod/docker",
            ),
            (
                "/kubepods.slice/kubepods-pod0123456789abcdef0123456789abcdef.slice/crio-{id}.scope",
                "pod/cri-o",
            ),
            // The monitor is in the pod, and not a container of it.
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/crio-conmon-{id}.scope",
                "pod/-",
            ),
            // Old containerd.
            (
                "/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{id}",
                "pod/containerd",
            ),
            (
                "/kubepods-besteffort-pod{uid_}.slice:cri-containerd:{id}",
                "pod/containerd",
            ),
            // kind and k3s: the node is a container itself.
            ("/docker/{node}/kubelet/kubepods/burstable/pod{uid}/{id}", "pod/?"),
            (
                "/system.slice/docker-{node}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
                 kubelet-kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
                "pod/containerd",
            ),
            ("/docker/{node}/kubepods/pod{uid}", "pod/-"),
            ("/k3s.service/kubepods/pod{uid}/{id}", "pod/?"),
            // From a private cgroup namespace.
            ("/../../pod{uid}/{id}", "pod/?"),
            (
                "/../kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
                "pod/containerd",
            ),
            ("/../cri-containerd-{id}.scope", "containerd"),
            // k3s and k0s run as units; so may any kubelet, with a cgroup root of its own.
            ("/system.slice/k3s.service/kubepods/burstable/pod{uid}/{id}", "pod/?"),
            (
                "/machine.slice/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/cri-containerd-{id}.scope",
                "pod/containerd",
            ),
            // kind by podman, and by Docker with cgroupfs.
            (
                "/machine.slice/libpod-{node}.scope/container/kubelet.slice/kubelet-kubepods.slice/\
                 kubelet-kubepods-pod{uid_}.slice/cri-containerd-{id}.scope",
                "pod/containerd",
            ),
            // What a container makes below its own cgroup is its own.
            ("/kubepods/burstable/pod{uid}/{id}/workers/1", "pod/?"),
            (
                "/kubepods.slice/kubepods-pod{uid_}.slice/cri-containerd-{id}.scope/system.slice/x.service",
                "pod/containerd",
            ),
            // A container made inside a pod's.
            ("/kubepods/pod{uid}/{node}/docker/{id}", "docker"),
            // Docker, podman, containerd, CRI-O, LXC without Kubernetes.
            ("/docker/{id}", "docker"),
            ("/docker/{id}/init", "docker"),
            ("/system.slice/docker-{id}.scope", "docker"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id}.scope",
                "docker",
            ),
            ("/machine.slice/libpod-{id}.scope", "podman"),
            ("/machine.slice/libpod-{id}.scope/container", "podman"),
            ("/machine.slice/libpod-conmon-{id}.scope", "-"),
            ("/libpod_parent/libpod-{id}", "podman"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container",
                "podman",
            ),
            ("/system.slice/api.service/libpod-payload-{id}", "podman"),
            ("/system.slice/nerdctl-{id}.scope", "containerd"),
            ("/default/{id}", "containerd"),
            ("/ecs/task/{id}", "?"),
            ("/lxc.payload.web/system.slice", "lxc"),
            ("/lxc/web", "lxc"),
            // A service manager inside a container: the container.
            ("/docker/{id}/system.slice/api.service", "docker"),
            // systemd.
            ("/system.slice/api.service", "api.service"),
            ("/system.slice/api.service/payload", "api.service"),
            ("/system.slice/system-web.slice/web@1.service", "web@1.service"),
            (r"/system.slice/my\x2dapi.service", r"my\x2dapi.service"),
            (
                r"/system.slice/system-web\x2dworker.slice/web-worker@eu\x2d1.service",
                r"web-worker@eu\x2d1.service",
            ),
            (
                "/apps.slice/apps-shop.slice/apps-shop-eu.slice/api.service",
                "api.service",
            ),
            ("/system.slice/outer.service/inner.service", "inner.service"),
            ("/system.slice/_cpu.service", "cpu.service"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service",
                "sync.service of 1000",
            ),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", "-"),
            ("/user.slice/user-1000.slice/session-3.scope", "-"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-api@1.service",
                "app-api@1.service of 1000",
            ),
            ("/system.slice/run-r12.scope", "-"),
            ("/init.scope", "-"),
            ("/", "-"),
            ("", "-"),
            ("/my/own/tree", "-"),
            ("/system.slice/.service", "-"),
            // What only looks alike.
            ("/podcast/pod1", "-"),
            ("/system.slice/docker-notanid.scope", "-"),
            ("/kubepods.slice/kubepods-burstable.slice", "-"),
        ] {
            assert_eq!(told(template), expected, "{template}");
        }
    }

    #[test]
    fn a_containers_own_cgroup_ends_at_its_id() {
        for (template, own) in [
            ("/kubepods/podX/{id}", "/kubepods/podX/{id}"),
            (
                "/kubepods.slice/crio-{id}.scope/container",
                "/kubepods.slice/crio-{id}.scope",
            ),
            (
                "/docker/{node}/kubepods/pod{uid}/{id}/a/b",
                "/docker/{node}/kubepods/pod{uid}/{id}",
            ),
            ("/lxc.payload.web/system.slice/web.service", "/lxc.payload.web"),
            ("/lxc/web/web.service", "/lxc/web"),
            ("/system.slice/api.service/payload", "/system.slice/api.service/payload"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(own_cgroup(&path(template)), path(own), "{template}");
        }
    }

    #[test]
    fn slices_and_managers_are_groups() {
        for path in [
            "/",
            "",
            "/user.slice",
            "/user.slice/user-7.slice/user@7.service",
            "/a/b.slice/",
        ] {
            assert!(is_group(path), "{path}");
        }
        for path in [
            "/demo/leaky",
            "/user.slice/run-r12.scope",
            "/nomad.slice/share.slice/9f.web.scope",
        ] {
            assert!(!is_group(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path: String) {
            let _ = owner(&path);
            assert!(path.starts_with(own_cgroup(&path)));
        }

        /// Whatever surrounds it, a pod's container is found, and never the node's in its place.
        #[test]
        fn the_deepest_container_wins(
            outer in prop::sample::select(vec!["", "/docker/{node}", "/system.slice/docker-{node}.scope", "/a/b.service"]),
            pod in prop::sample::select(vec!["/kubepods/burstable/pod{uid}", "/x/kubelet-kubepods-pod{uid_}.slice"]),
            leaf in prop::sample::select(vec!["/{id}", "/crio-{id}", "/cri-containerd-{id}.scope", "/docker-{id}.scope"]),
            below in prop::sample::select(vec!["", "/container", "/init.scope", "/system.slice/x.service"]),
        ) {
            let found = owner(&path(&format!("{outer}{pod}{leaf}{below}")));
            let Some(Owner::Pod { uid, container: Some(container) }) = found else {
                return Err(TestCaseError::fail(format!("{found:?}")));
            };
            prop_assert_eq!((uid.as_str(), container.id.as_str()), (UID, ID));
        }
    }
}
