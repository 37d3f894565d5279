//! A Kubernetes cluster of one node on this host: reads nothing but the cache of counterparts, produces a KUBECONFIG.
//!
//! Real parts throughout: etcd, API server, controller manager, scheduler, kubelet, containerd, runc, CNI. Nothing is
//! pulled. Everything it writes is below [`place::DIRECTORY`]; every process of it carries a mark in its environment,
//! so that `down` finds all of them, whatever was killed before ([`part`]).
//!
//! The node is this host, or a virtual machine with a kernel and a cgroup version of its own ([`machine`]).
//!
//! There is no kube-proxy. The API server listens on the address of its own Service, which stands on the bridge: a pod
//! reaches it as in any cluster.

mod certificate;
mod configuration;
mod control;
mod down;
mod host;
mod machine;
mod part;
mod place;
mod runtime;
mod up;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};
use observer_tests::{counterpart::KUBERNETES, places};

use place::Place;

/// What to do with the cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Start it, or say that it runs; builds its programs the first time
    Up {
        /// The node's cgroup version: this host's, or 2 in a virtual machine under emulation, which takes minutes to start
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
        cgroup: Option<u8>,
    },
    /// End it and remove all that it left: pods, mounts, cgroups, network, files
    Down,
    /// Which parts run, and what the API server says
    Status,
    /// Hand it an image
    Load {
        /// An OCI archive, as `cargo xtask image` writes it
        archive: PathBuf,
    },
}

/// `cargo xtask cluster`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let place = Place::found();
    match &options.action {
        Action::Up { cgroup } => {
            let place = Place::with(machine::wanted(*cgroup)?);
            up::up(&place)?;
            println!("export KUBECONFIG={}", place.kubeconfig("admin").display());
            if let Some(built) = KUBERNETES
                .program("kubectl")
                .filter(|_| places::program("kubectl").is_none())
            {
                let directory = built.parent().unwrap_or(&built).display();
                println!("export PATH={directory}:$PATH # kubectl");
            }
        }
        Action::Down => down::down(&place)?,
        Action::Status => return control::status(&place),
        Action::Load { archive } => up::load(&place, archive)?,
    }
    Ok(ExitCode::SUCCESS)
}
