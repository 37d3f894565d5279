//! The agent as a DaemonSet, and a Deployment that leaks under it: what tests of the agent's own end begin and end with.

use observer_tests::{
    cluster::{Cluster, ExclusiveCluster, LogStream},
    receiver::Receiver,
    rollouts::LEAKING,
    stage::Scratch,
};

use super::rollouts::{deployment, for_test, rolled_out, shop};

/// The agent.
pub(super) const AGENT: &str = "daemonset/observer";
pub(super) const RESTART: &str = "observer.container.restart";
pub(super) const CONFIRMED: &str = "observer.memory.leak_confirmed";

/// A cluster of its own in which a service leaks, and what is sent from there.
pub(super) struct MidLeak {
    pub(super) cluster: ExclusiveCluster,
    pub(super) scratch: Scratch,
    pub(super) receiver: Receiver,
    manifest: String,
}

impl MidLeak {
    /// Starts the agent, then the service; with what that agent prints.
    pub(super) fn start(name: &str) -> (Self, LogStream) {
        let cluster = Cluster::alone().unwrap();
        let scratch = Scratch::new(name).unwrap();
        cluster.load_agent(scratch.path()).unwrap();
        let address = cluster.node_address().unwrap();
        let receiver = Receiver::start(&["--host", &address]).unwrap();
        let manifest = for_test(&format!("http://{address}:{}", receiver.port), &scratch);
        let begun = Self {
            cluster,
            scratch,
            receiver,
            manifest,
        };
        let agent = begun.start_agent();
        shop(&begun.cluster);
        begun.cluster.apply(&deployment(LEAKING).to_string(), &[]).unwrap();
        (begun, agent)
    }

    /// Starts the agent, which is not there.
    pub(super) fn start_agent(&self) -> LogStream {
        self.cluster.apply(&self.manifest, &[]).unwrap();
        rolled_out(&self.cluster, "observer", AGENT);
        self.follow()
    }

    /// What the agent prints that is there now.
    pub(super) fn follow(&self) -> LogStream {
        self.cluster.follow("observer", AGENT).unwrap()
    }

    /// Removes the agent, and waits until it has ended.
    pub(super) fn end_agent(&self) {
        let namespace = "--namespace=observer";
        self.cluster
            .ask(&["delete", AGENT, namespace, "--cascade=foreground", "--timeout=120s"])
            .unwrap();
    }

    /// Removes all of it.
    pub(super) fn end(self) {
        for object in ["namespace/shop", "namespace/observer"] {
            self.cluster
                .ask(&["delete", object, "--wait=true", "--timeout=120s"])
                .unwrap();
        }
    }
}
