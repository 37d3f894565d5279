//! Where the cluster's files are and which addresses it takes: one of each, so that `down` always knows.

use std::path::{Path, PathBuf};

/// Everything of the cluster. Short: paths of unix sockets end at 107 bytes.
pub(super) const DIRECTORY: &str = "/var/lib/observer-cluster";
/// The bridge that pods hang on.
pub(super) const BRIDGE: &str = "observer0";
/// This host's address: the bridge's.
pub(super) const NODE_ADDRESS: &str = "10.213.77.1";
/// Pods.
pub(super) const POD_SUBNET: &str = "10.213.77.0/24";
/// Services; the first address is that of the API server.
pub(super) const SERVICE_SUBNET: &str = "10.213.78.0/24";
/// The API server, where `kubernetes.default` points.
pub(super) const API_ADDRESS: &str = "10.213.78.1";
/// Port of the API server.
pub(super) const API_PORT: u16 = 443;
/// Port of the kubelet; not its usual one, which a real one may hold.
pub(super) const KUBELET_PORT: u16 = 16250;
/// Ports of etcd on the loopback: clients, peers.
pub(super) const ETCD_PORTS: (u16, u16) = (16379, 16380);
/// The node's name.
pub(super) const NODE: &str = "observer-node";
/// Image of what holds a pod's namespaces.
pub(super) const PAUSE_IMAGE: &str = "docker.io/local/pause:1";
/// Image with this host's Node.js.
pub(super) const NODE_IMAGE: &str = "docker.io/local/node:host";

/// The part that is a virtual machine, and the file that says that there is one.
pub(super) const MACHINE: &str = "machine";
/// The address of a node that is a virtual machine, on the same bridge.
pub(super) const MACHINE_ADDRESS: &str = "10.213.77.2";
/// The machine's network device on this host.
pub(super) const MACHINE_DEVICE: &str = "observer1";
/// Where the machine takes images in.
pub(super) const LOAD_PORT: u16 = 16251;

/// The cluster's directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    root: PathBuf,
    /// The node is a virtual machine.
    pub(super) machine: bool,
}

impl Place {
    /// Of the cluster that is there, or of none.
    pub(super) fn found() -> Self {
        let machine = Path::new(DIRECTORY).join(MACHINE).exists();
        Self::with(machine)
    }

    /// Of one whose node is this host or a virtual machine.
    pub(super) fn with(machine: bool) -> Self {
        Self {
            root: DIRECTORY.into(),
            machine,
        }
    }

    /// The node's address.
    pub(super) const fn node_address(&self) -> &'static str {
        if self.machine { MACHINE_ADDRESS } else { NODE_ADDRESS }
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory below it.
    pub(super) fn at(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The same, as arguments want it.
    pub(super) fn text(&self, below: &str) -> String {
        self.at(below).display().to_string()
    }

    /// Certificate and key of this name.
    pub(super) fn pair(&self, name: &str) -> (String, String) {
        (
            self.text(&format!("pki/{name}.crt")),
            self.text(&format!("pki/{name}.key")),
        )
    }

    /// What this one reaches the API server with.
    pub(super) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.at(&format!("{name}.kubeconfig"))
    }

    /// Where this part writes.
    pub(super) fn log(&self, part: &str) -> PathBuf {
        self.at(&format!("log/{part}.log"))
    }

    /// Containerd's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.at("containerd.sock")
    }
}
