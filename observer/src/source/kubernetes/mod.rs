//! Kubernetes: watches this node's pods, produces the facts of their containers.
//!
//! Load on the API server, per node: one list at the start, answered from its cache (`resourceVersion=0`), then one watch
//! of `spec.nodeName=<node>`, re-opened about every 5 minutes and resumed where it was; a new list only after 410 Gone.
//! Bookmarks keep the position fresh on quiet nodes. After errors it waits 0.8 to 30 s, with jitter. Permissions: list
//! and watch of pods, nothing else.
//!
//! Without the API (unreachable, refused) nothing stops: [`super::engines`] and the cgroup's path tell what they can,
//! and the rest is filled in when it comes back.

mod known;
mod pod;
mod quantity;

#[cfg(test)]
mod tests;

use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, ListSemantic, watcher},
    },
};
use observer_core::container_facts::ContainerFacts;

use self::known::Known;

/// Why there is no watch.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// Neither a service account's files nor a kubeconfig tell how to reach the API server.
    #[error("cannot find the Kubernetes API: {0}; run with a service account, or set KUBECONFIG")]
    Config(String),
    /// A client could not be made of them.
    #[error("cannot make a client of the Kubernetes API: {0}")]
    Client(#[from] kube::Error),
}

/// How the watch is doing; told when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All pods of the node are known.
    Current {
        /// How many.
        pods: usize,
        /// Pods ignored because the table was full, since the start.
        refused: u64,
    },
    /// Not at the moment; tried again with growing pauses.
    Failing(String),
}

/// Takes what the watch tells.
pub trait Receiver: Send {
    /// Facts of a container, new or changed. False ends the watch.
    fn container(&mut self, facts: ContainerFacts) -> impl Future<Output = bool> + Send;
    /// A change of health.
    fn health(&mut self, health: Health);
}

/// A client by the environment's rules: `KUBECONFIG` or `~/.kube/config`, else the pod's service account.
pub async fn client() -> Result<Client, KubernetesError> {
    let config = kube::Config::infer()
        .await
        .map_err(|error| KubernetesError::Config(error.to_string()))?;
    Ok(Client::try_from(config)?)
}

/// Watches the pods of `node` until the receiver wants no more.
pub async fn watch(client: Client, node: &str, receiver: &mut impl Receiver) {
    let config = watcher::Config {
        list_semantic: ListSemantic::Any,
        // One page: a list in pages is read from etcd, past the server's cache.
        page_size: None,
        ..watcher::Config::default()
    }
    .fields(&format!("spec.nodeName={node}"));
    let mut events = pin!(watcher(Api::<Pod>::all(client), config).default_backoff());
    let mut known = Known::default();
    let mut health = None;
    while let Some(event) = events.next().await {
        let now = match event {
            Ok(event) => {
                let done = !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                for facts in known.take(event) {
                    if !receiver.container(facts).await {
                        return;
                    }
                }
                if !done {
                    continue;
                }
                Health::Current {
                    pods: known.pods(),
                    refused: known.refused,
                }
            }
            Err(error) => Health::Failing(explain(&error)),
        };
        // A number of pods is no change of health.
        let changed = match (&health, &now) {
            (Some(Health::Current { refused: before, .. }), Health::Current { refused, .. }) => before != refused,
            (before, now) => before.as_ref() != Some(now),
        };
        if changed {
            receiver.health(now.clone());
            health = Some(now);
        }
    }
}

/// What failed and what to do.
fn explain(error: &watcher::Error) -> String {
    let api = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        _ => 0,
    };
    match api {
        401 | 403 => format!("{error}; allow the agent's service account to list and watch pods"),
        _ => error.to_string(),
    }
}
