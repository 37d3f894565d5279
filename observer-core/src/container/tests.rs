//! Layouts of cgroup paths, a line each, and what holds for every path.

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
fn a_container_may_lie_in_another() {
    for (template, outer) in [
        ("/kubepods/pod{uid}/{node}/{id}/a", Some("/kubepods/pod{uid}/{node}")),
        ("/docker/{node}/kubepods/pod{uid}/{id}", Some("/docker/{node}")),
        ("/lxc.payload.web/lxc.payload.web", Some("/lxc.payload.web")),
        ("/kubepods/pod{uid}/{id}/a", None),
        ("/a/b", None),
        ("", None),
    ] {
        assert_eq!(around(&path(template)), outer.map(path).as_deref(), "{template}");
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
