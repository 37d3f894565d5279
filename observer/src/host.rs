//! The host's name: reads the configuration and the host's own files, produces what `host.name` is in everything that
//! goes out.
//!
//! In a pod, `uname` tells the pod's name: each container has a UTS namespace of its own.

use std::{fs, path::Path};

use crate::config::{Config, Kubernetes};

/// What Kubernetes puts into every container's environment.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";
/// What manifests by convention call a pod's own `spec.nodeName`.
const NODE_NAME: &str = "NODE_NAME";

/// Whether this node's pods are to be watched.
pub fn in_kubernetes(config: &Config) -> bool {
    match config.kubernetes {
        Kubernetes::Off => false,
        Kubernetes::On => true,
        Kubernetes::Auto => std::env::var_os(IN_CLUSTER).is_some(),
    }
}

/// The node's name, where there is one: as it was configured, else as the manifest tells it, else the host's.
pub fn node(config: &Config) -> Option<String> {
    in_kubernetes(config).then(|| name(config))
}

/// The host's name: the node's in Kubernetes, else what the host calls itself.
pub fn name(config: &Config) -> String {
    let of_manifest = || std::env::var(NODE_NAME).ok().filter(|name| !name.is_empty());
    let told = config
        .node_name
        .clone()
        .or_else(of_manifest)
        .filter(|_| in_kubernetes(config));
    told.unwrap_or_else(|| own(&config.procfs))
}

/// By `uname` where this process shares the UTS namespace of the host's first; else by that one's /etc/hostname.
fn own(procfs: &Path) -> String {
    let uname = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let namespace = |pid: &str| fs::read_link(procfs.join(pid).join("ns/uts")).ok();
    match (namespace("self"), namespace("1")) {
        (Some(ours), Some(hosts)) if ours != hosts => {
            let file = fs::read_to_string(procfs.join("1/root").join("etc/hostname")).unwrap_or_default();
            let told = file
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'));
            told.map_or_else(uname, str::to_owned)
        }
        _ => uname(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::own;

    /// A procfs whose process 1 lives in another UTS namespace than its `self`.
    #[test]
    fn from_a_container_it_is_the_hosts_file_that_tells() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, namespace) in [("self", "uts:[2]"), ("1", "uts:[1]")] {
            fs::create_dir_all(dir.path().join(pid).join("ns")).unwrap();
            symlink(namespace, dir.path().join(pid).join("ns/uts")).unwrap();
        }
        assert_eq!(
            own(dir.path()),
            own("/nowhere".as_ref()),
            "no file: what this container is called"
        );
        let etc = dir.path().join("1/root").join("etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("hostname"), "# comment\n node-7 \n").unwrap();
        assert_eq!(own(dir.path()), "node-7");
    }
}
