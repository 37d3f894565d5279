//! The start of the cluster: reads its programs out of the cache, produces a node that is ready.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail};
use observer_tests::counterpart::KUBERNETES;
use rustix::process::geteuid;

use super::{
    certificate, configuration, control,
    control::{kubectl, until},
    down, host, part,
    place::{NODE_IMAGE, PAUSE_IMAGE, Place},
    runtime,
};
use crate::{counterpart, image, shell};

/// How long a part may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Starts it; does nothing where it runs, and begins anew where only pieces of one are there.
pub(super) fn up(place: &Place) -> Result<()> {
    if !geteuid().is_root() {
        bail!("a kubelet needs root: run as root");
    }
    if control::healthy(place) {
        println!("cluster: already running");
        return Ok(());
    }
    counterpart::provide(&KUBERNETES)?;
    let runtime = runtime::programs()?;
    down::down(place)?;
    let foreign = host::pod_cgroups();
    if let Some(first) = foreign.first() {
        bail!(
            "another kubelet runs on this host ({} is there): the cluster is for a host without one",
            first.display()
        );
    }
    prepare(place)?;
    host::keep_settings(place)?;
    host::make_bridge()?;
    start_all(place, &runtime)
        .context("the cluster did not start; its logs are below its directory until `cargo xtask cluster down`")
}

/// Directories, identities, configuration, images.
fn prepare(place: &Place) -> Result<()> {
    for below in ["pki", "log/pods", "cni/conf", "images", "kubelet"] {
        let path = place.at(below);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    certificate::make(place)?;
    for (below, text) in [
        ("audit.yaml", configuration::audit_policy()),
        ("kubelet.yaml", configuration::kubelet_file(place)),
        ("cni/conf/10-observer.conflist", configuration::network(place)),
        // Pods here resolve nothing: there is no DNS server, and the host's is not theirs to ask.
        ("resolv.conf", String::new()),
    ] {
        let path = place.at(below);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    image::pause(PAUSE_IMAGE, &place.at("images"))?.write(&place.at("images/pause.tar"))?;
    image::node(NODE_IMAGE)?.write(&place.at("images/node.tar"))?;
    Ok(())
}

fn start_all(place: &Place, runtime: &runtime::Programs) -> Result<()> {
    let start = |name: &str, arguments: &[String]| {
        let program = KUBERNETES
            .program(name)
            .with_context(|| format!("{name} is gone since it was looked for"))?;
        part::start(place, name, &program, arguments)
    };
    start("etcd", &configuration::etcd(place))?;
    start("kube-apiserver", &configuration::apiserver(place))?;
    runtime::start(place, runtime)?;
    for archive in ["images/pause.tar", "images/node.tar"] {
        runtime::load(place, &place.at(archive))?;
    }
    let answers = |arguments: &[&str]| kubectl(place, arguments).is_ok_and(shell::succeeds);
    until(place, "kube-apiserver", "the API server is ready", PATIENCE, || {
        answers(&["get", "--raw", "/readyz"])
    })?;
    start("kube-controller-manager", &configuration::controller_manager(place))?;
    start("kube-scheduler", &configuration::scheduler(place))?;
    start("kubelet", &configuration::kubelet(place))?;
    until(place, "kubelet", "the node is ready", PATIENCE, || {
        control::healthy(place)
    })?;
    // Pods are refused until their namespace has its service account.
    let account = ["get", "serviceaccount", "default", "-n", "default"];
    until(place, "kube-controller-manager", "pods can be made", PATIENCE, || {
        answers(&account)
    })?;
    Ok(())
}
