//! Kubernetes Events in an agent built without Kubernetes: reads the configuration, says where they were wanted.

use observer_core::Finding;
use tokio::time::Instant;

use crate::{config::Config, snapshot::ExporterView, terminal::say};

/// The signal's name in the status and in the agent's own metrics.
pub(crate) const SIGNAL: &str = "kubernetes_events";

/// What `observer doctor` asks.
pub(crate) mod rights {
    use crate::config::Config;

    /// That none can be written; `None` where none are wanted.
    pub(crate) fn of(config: &Config) -> Option<Result<(), String>> {
        config
            .kubernetes_events
            .then(|| Err("this agent was built without Kubernetes".to_owned()))
    }
}

/// Writes nothing: there is none of it.
#[derive(Debug)]
pub(super) enum KubernetesEvents {}

impl KubernetesEvents {
    pub(super) fn start(config: &Config) -> Option<Self> {
        if config.kubernetes_events {
            say("this agent was built without Kubernetes: it writes no Kubernetes Events");
        }
        None
    }

    pub(super) const fn publish(&self, _finding: &Finding) {
        match *self {}
    }

    pub(super) const fn view(&self) -> ExporterView {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "as the one that writes")]
    pub(super) async fn finish(self, _deadline: Instant) {
        match self {}
    }
}
