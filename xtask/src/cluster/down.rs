//! The end of the cluster: reads what is there of it, produces a host without it, from whatever state.

use std::{fs, io, time::Duration};

use anyhow::{Context as _, Result, bail};
use rustix::process::geteuid;

use super::{host, part, place::Place};

/// How long the parts may take to end by themselves: nothing of theirs is kept.
const PATIENCE: Duration = Duration::from_secs(3);

/// A machine's pods end with it. On this host they are the cluster's: `up` refuses one whose pods are somebody else's.
fn remove_pods(place: &Place) -> Result<()> {
    if place.machine {
        Ok(())
    } else {
        host::remove_pod_cgroups()
    }
}

/// Ends and removes everything; fails only where something stays.
pub(super) fn down(place: &Place) -> Result<()> {
    if !geteuid().is_root() {
        bail!("the cluster's processes and mounts belong to root: run as root");
    }
    let was_there = place.root().exists();
    // The kubelet first, or it starts anew what is ended; containerd's shims after their containers.
    part::end(place, PATIENCE, |name| name != "containerd")?;
    if was_there {
        let sockets = host::shim_sockets(place);
        remove_pods(place)?;
        part::end(place, PATIENCE, |_| true)?;
        remove_pods(place)?;
        host::unmount(place)?;
        for socket in sockets {
            // A shim that ended by itself has removed it.
            let _ = fs::remove_file(socket);
        }
        host::remove_traces(place);
        host::restore_settings(place)?;
    }
    host::remove_bridge()?;
    match fs::remove_dir_all(place.root()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", place.root().display()))
        }
        _ => {
            println!("cluster: removed everything");
            Ok(())
        }
    }
}
