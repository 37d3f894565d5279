//! Configuration of each part: reads the place and the paths of programs, produces arguments and configuration files.

use std::path::Path;

use super::place::{
    API_ADDRESS, API_PORT, BRIDGE, ETCD_PORTS, KUBELET_PORT, NODE, NODE_ADDRESS, PAUSE_IMAGE, POD_SUBNET, Place,
    SERVICE_SUBNET,
};

fn flags<const N: usize>(pairs: [(&str, String); N]) -> Vec<String> {
    pairs.map(|(name, value)| format!("--{name}={value}")).to_vec()
}

pub(super) fn etcd(place: &Place) -> Vec<String> {
    let (certificate, key) = place.pair("etcd");
    let (clients, peers) = ETCD_PORTS;
    let peer = format!("http://127.0.0.1:{peers}");
    let client = format!("https://127.0.0.1:{clients}");
    flags([
        ("name", "observer".into()),
        ("data-dir", place.text("etcd")),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("observer={peer}")),
        ("cert-file", certificate),
        ("key-file", key),
        ("trusted-ca-file", place.text("pki/ca.crt")),
        ("client-cert-auth", "true".into()),
        // The cluster is thrown away: it need not survive a power cut.
        ("unsafe-no-fsync", "true".into()),
    ])
}

pub(super) fn apiserver(place: &Place) -> Vec<String> {
    let (certificate, key) = place.pair("apiserver");
    let authority = place.text("pki/ca.crt");
    flags([
        ("bind-address", API_ADDRESS.into()),
        ("secure-port", API_PORT.to_string()),
        ("advertise-address", NODE_ADDRESS.into()),
        ("service-cluster-ip-range", SERVICE_SUBNET.into()),
        ("etcd-servers", format!("https://127.0.0.1:{}", ETCD_PORTS.0)),
        ("etcd-cafile", authority.clone()),
        ("etcd-certfile", certificate.clone()),
        ("etcd-keyfile", key.clone()),
        ("tls-cert-file", certificate.clone()),
        ("tls-private-key-file", key.clone()),
        ("client-ca-file", authority.clone()),
        ("kubelet-client-certificate", certificate),
        ("kubelet-client-key", key),
        ("kubelet-certificate-authority", authority),
        ("kubelet-preferred-address-types", "InternalIP".into()),
        ("service-account-issuer", "https://kubernetes.default.svc".into()),
        ("service-account-key-file", place.text("pki/service-account.pub")),
        (
            "service-account-signing-key-file",
            place.text("pki/service-account.key"),
        ),
        ("authorization-mode", "Node,RBAC".into()),
        ("enable-admission-plugins", "NodeRestriction".into()),
        ("audit-policy-file", place.text("audit.yaml")),
        ("audit-log-path", place.text("log/audit.log")),
    ])
}

/// Who asks for pods, how often, and what is answered: tests read it.
pub(super) fn audit_policy() -> String {
    "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [list, watch, get]
  resources: [{group: '', resources: [pods, nodes]}]
- level: None
"
    .to_owned()
}

pub(super) fn controller_manager(place: &Place) -> Vec<String> {
    flags([
        ("kubeconfig", place.text("controller-manager.kubeconfig")),
        ("root-ca-file", place.text("pki/ca.crt")),
        (
            "service-account-private-key-file",
            place.text("pki/service-account.key"),
        ),
        ("use-service-account-credentials", "true".into()),
        ("leader-elect", "false".into()),
        ("secure-port", "0".into()),
    ])
}

pub(super) fn scheduler(place: &Place) -> Vec<String> {
    flags([
        ("kubeconfig", place.text("scheduler.kubeconfig")),
        ("leader-elect", "false".into()),
        ("secure-port", "0".into()),
    ])
}

pub(super) fn kubelet(place: &Place) -> Vec<String> {
    flags([
        ("config", place.text("kubelet.yaml")),
        ("kubeconfig", place.text("kubelet.kubeconfig")),
        ("root-dir", place.text("kubelet")),
        ("cert-dir", place.text("kubelet/pki")),
        ("hostname-override", NODE.into()),
        ("node-ip", place.node_address().into()),
    ])
}

/// The kubelet's file. No eviction on this host and no image collection: a full disk or memory of the developer's is not the
/// test's subject. A machine's memory is its own: pods are evicted when it is short.
/// Restarts are backed off for seconds instead of minutes, since restarts are what the tests are about.
pub(super) fn kubelet_file(place: &Place) -> String {
    let (certificate, key) = place.pair("kubelet");
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
port: {KUBELET_PORT}
healthzPort: 0
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {authority}}}}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
localStorageCapacityIsolation: {local}
resolvConf: {resolv}
podLogsDir: {logs}
staticPodPath: {manifests}
volumePluginDir: {plugins}
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: '{least}', nodefs.available: '0%', nodefs.inodesFree: '0%', imagefs.available: '0%', imagefs.inodesFree: '0%'}}
evictionPressureTransitionPeriod: 10s
crashLoopBackOff: {{maxContainerRestartPeriod: 2s}}
featureGates: {{KubeletCrashLoopBackOffMax: true}}
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
",
        address = place.node_address(),
        least = if place.machine { "1Gi" } else { "0%" },
        // Without it, the kubelet knows no disk, and evicts nobody.
        local = place.machine,
        authority = place.text("pki/ca.crt"),
        socket = place.socket().display(),
        resolv = place.text("resolv.conf"),
        logs = place.text("log/pods"),
        plugins = place.text("kubelet-plugins"),
        manifests = place.text("manifests"),
    )
}

/// Containerd's file, in the version that both 1.x and 2.x read.
pub(super) fn containerd_file(place: &Place, cni: &Path, snapshotter: &str) -> String {
    format!(
        "version = 2
root = '{root}'
state = '{state}'
[grpc]
address = '{socket}'
[plugins.'io.containerd.internal.v1.opt']
path = '{opt}'
[plugins.'io.containerd.grpc.v1.cri']
sandbox_image = '{PAUSE_IMAGE}'
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = '127.0.0.1'
stream_server_port = '0'
[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '{cni}'
conf_dir = '{network}'
[plugins.'io.containerd.grpc.v1.cri'.containerd]
snapshotter = '{snapshotter}'
default_runtime_name = 'runc'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = '{runc}'
",
        root = place.text("containerd/root"),
        state = place.text("containerd/state"),
        socket = place.socket().display(),
        opt = place.text("containerd/opt"),
        cni = cni.display(),
        network = place.text("cni/conf"),
        runc = place.text("runc"),
    )
}

/// The pods' network: the bridge, addresses from a file below the cluster's directory. A machine's bridge is joined to this
/// host's, which leads everywhere.
pub(super) fn network(place: &Place) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "observer-cluster",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isDefaultGateway": !place.machine,
            "ipam": {
                "type": "host-local",
                "dataDir": place.text("cni/addresses"),
                "ranges": [[{"subnet": POD_SUBNET, "rangeStart": "10.213.77.10", "gateway": NODE_ADDRESS}]],
                "routes": if place.machine { serde_json::json!([{"dst": "0.0.0.0/0"}]) } else { serde_json::json!([]) },
            },
        }],
    })
    .to_string()
}
