//! The start of the cluster: reads its programs out of the cache, produces a node that is ready.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use observer_tests::counterpart::KUBERNETES;
use rustix::process::geteuid;

use super::{
    certificate, configuration, control,
    control::{kubectl, until},
    down, host, machine, part,
    place::{MACHINE, NODE_IMAGE, PAUSE_IMAGE, Place},
    runtime,
};
use crate::{counterpart, image, shell};

/// How long a part may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Hands the node an OCI archive, under the name it carries.
pub(super) fn load(place: &Place, archive: &Path) -> Result<()> {
    let archive = archive
        .canonicalize()
        .with_context(|| format!("cannot find {}", archive.display()))?;
    let said = if place.machine {
        machine::load(&archive)?
    } else {
        runtime::load(place, &archive)?
    };
    said.lines().for_each(|line| println!("cluster: {line}"));
    Ok(())
}

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
    down::down(&Place::found())?;
    let foreign = host::pod_cgroups();
    if let Some(first) = foreign.first().filter(|_| !place.machine) {
        bail!(
            "another kubelet runs on this host ({} is there): the cluster is for a host without one",
            first.display()
        );
    }
    prepare(place)?;
    host::keep_settings(place)?;
    host::make_bridge()?;
    if place.machine {
        host::make_machine_device()?;
    }
    start_all(place, &runtime)
        .context("the cluster did not start; its logs are below its directory until `cargo xtask cluster down`")
}

/// Directories, identities, configuration, images.
fn prepare(place: &Place) -> Result<()> {
    for below in ["pki", "log/pods", "cni/conf", "images", "kubelet", "manifests"] {
        let path = place.at(below);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    if place.machine {
        machine::mark(place)?;
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
    if !place.machine {
        runtime::start(place, runtime)?;
        for archive in ["images/pause.tar", "images/node.tar"] {
            load(place, &place.at(archive))?;
        }
    }
    let answers = |arguments: &[&str]| kubectl(place, arguments).is_ok_and(shell::succeeds);
    until(place, "kube-apiserver", "the API server is ready", PATIENCE, || {
        answers(&["get", "--raw", "/readyz"])
    })?;
    start("kube-controller-manager", &configuration::controller_manager(place))?;
    start("kube-scheduler", &configuration::scheduler(place))?;
    let node = if place.machine {
        machine::start(place, runtime)?;
        MACHINE
    } else {
        start("kubelet", &configuration::kubelet(place))?;
        "kubelet"
    };
    let patience = if place.machine { machine::PATIENCE } else { PATIENCE };
    until(place, node, "the node is ready", patience, || control::healthy(place))?;
    // Pods are refused until their namespace has its service account.
    let account = ["get", "serviceaccount", "default", "-n", "default"];
    until(place, "kube-controller-manager", "pods can be made", PATIENCE, || {
        answers(&account)
    })?;
    Ok(())
}
