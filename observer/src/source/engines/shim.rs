//! containerd's shim: reads who stands above a container's process, produces what the container's bundle says, wherever
//! containerd keeps its state.
//!
//! A shim works in the bundle of its pod's sandbox (`.../io.containerd.runtime.v2.task/NAMESPACE/ID`), and the bundles of
//! the pod's containers lie beside it.

use std::{fs, path::Path};

use observer_core::container_facts::ContainerFacts;

use super::{
    bundle::{self, OciSpec},
    state_file::{EngineError, read},
};

/// Processes between a shim and what its container runs: an init, a shell, a package manager.
const DEEPEST: usize = 16;

/// What the bundle of container `id` says, found from a process whose parent is `parent`.
pub(super) fn describe(procfs: &Path, parent: u32, id: &str) -> Result<Option<ContainerFacts>, EngineError> {
    let Some(shim) = above(procfs, parent) else {
        return Ok(None);
    };
    let stands_in = procfs.join(shim.to_string()).join("cwd");
    // Its text only tells the namespace: the path is another mount namespace's, into which the link itself leads. Where it
    // may not be followed (no SYS_PTRACE) nothing is known.
    let Ok(bundle) = fs::read_link(&stands_in) else {
        return Ok(None);
    };
    let bundles = bundle.parent();
    if bundles
        .and_then(Path::file_name)
        .is_some_and(|namespace| namespace == "moby")
    {
        return Ok(None); // Docker's containers: it names them itself
    }
    let spec = read::<OciSpec>(&stands_in.join("..").join(id).join("config.json"))?;
    Ok(spec.map(|spec| bundle::facts(&spec)))
}

/// The shim above a process: the first ancestor that is in no pid namespace but the host's. What is inside a container may
/// call itself as it likes.
fn above(procfs: &Path, parent: u32) -> Option<u32> {
    let mut pid = parent;
    for _ in 0..DEEPEST {
        let status = fs::read_to_string(procfs.join(pid.to_string()).join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("NSpid:")?.split_whitespace().count() == 1 {
            return field("Name:")?.starts_with("containerd-shim").then_some(pid);
        }
        pid = field("PPid:")?.parse().ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    use super::describe;

    const ID: &str = "3d5a1f0c9e7b4a62815c0f9d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a";
    const SANDBOX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    /// A process by its pid: name, pids in its namespaces, parent, working directory.
    fn process(procfs: &Path, pid: u32, (name, ns, parent): (&str, &str, u32), cwd: Option<&Path>) {
        let dir = procfs.join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::write(
            dir.join("status"),
            format!("Name:\t{name}\nPPid:\t{parent}\nNSpid:\t{ns}\n"),
        )
        .unwrap();
        if let Some(cwd) = cwd {
            symlink(cwd, dir.join("cwd")).unwrap();
        }
    }

    fn bundles(root: &Path, namespace: &str) -> PathBuf {
        let tasks = root.join("odd/state/io.containerd.runtime.v2.task").join(namespace);
        fs::create_dir_all(tasks.join(SANDBOX)).unwrap();
        fs::create_dir_all(tasks.join(ID)).unwrap();
        let spec = r#"{"process": {"env": ["PASSWORD=secret"]}, "annotations": {
            "io.kubernetes.cri.container-name": "api", "io.kubernetes.cri.sandbox-name": "api-7d9c",
            "io.kubernetes.cri.sandbox-namespace": "shop"}}"#;
        fs::write(tasks.join(ID).join("config.json"), spec).unwrap();
        tasks.join(SANDBOX)
    }

    #[test]
    fn a_bundle_is_found_wherever_containerd_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let procfs = dir.path().join("proc");
        let sandbox = bundles(dir.path(), "k8s.io");
        process(&procfs, 10, ("containerd-shim", "10", 1), Some(&sandbox));
        process(&procfs, 20, ("tini", "20\t1", 10), None);
        process(&procfs, 21, ("npm run start", "21\t7", 20), None);
        for parent in [10, 20, 21] {
            let facts = describe(&procfs, parent, ID).unwrap().unwrap();
            let pod = facts.pod.unwrap();
            assert_eq!(
                (facts.name.as_str(), pod.name.as_str(), pod.namespace.as_str()),
                ("api", "api-7d9c", "shop"),
                "from {parent}"
            );
        }
        assert_eq!(describe(&procfs, 10, SANDBOX).unwrap(), None, "a bundle without a file");
        assert_eq!(describe(&procfs, 99, ID).unwrap(), None, "gone");
    }

    /// What a container's own processes are called, and where they stand, is theirs to choose.
    #[test]
    fn only_a_shim_of_the_host_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let procfs = dir.path().join("proc");
        let sandbox = bundles(dir.path(), "k8s.io");
        process(&procfs, 10, ("bash", "10", 1), Some(&sandbox));
        process(&procfs, 20, ("containerd-shim", "20\t1", 10), Some(&sandbox));
        assert_eq!(describe(&procfs, 20, ID).unwrap(), None);
        let docker = bundles(dir.path(), "moby");
        process(&procfs, 11, ("containerd-shim", "11", 1), Some(&docker));
        assert_eq!(describe(&procfs, 11, ID).unwrap(), None, "Docker names its own");
        process(&procfs, 12, ("containerd-shim", "12", 1), None);
        assert_eq!(describe(&procfs, 12, ID).unwrap(), None, "it may not be entered");
    }
}
