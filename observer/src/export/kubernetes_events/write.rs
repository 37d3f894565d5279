//! One Event at the API server: reads what is to be said, creates or counts up its object, produces what became of that.

use std::{collections::VecDeque, time::Duration};

use k8s_openapi::api::core::v1::Event as PodEvent;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::Status,
};
use tokio::time::timeout;

use super::event::{self, Key, Said};
use crate::causes::chain;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events whose count is remembered. Of others the server is asked.
const REMEMBERED: usize = 1_024;

/// What to do where the right is missing.
pub(super) const NOT_ALLOWED: &str = "the agent's service account may not create and patch events; allow it (the chart's \
     kubernetesEvents.enabled does), or take kubernetes-events back";

/// Why an Event was not written.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be tried again.
    Later(String),
    /// It will never be taken.
    Refused(String),
}

/// Writes Events and knows their counts.
pub(super) struct Writer {
    client: Client,
    node: String,
    counts: VecDeque<(Key, i32)>,
}

impl Writer {
    pub(super) const fn new(client: Client, node: String) -> Self {
        Self {
            client,
            node,
            counts: VecDeque::new(),
        }
    }

    /// Creates the Event, or counts it up where it is there. The right to read Events is not needed: what a patch gives back
    /// tells the count.
    pub(super) async fn write(&mut self, key: &Key, said: &Said) -> Result<(), Failure> {
        let api = Api::<PodEvent>::namespaced(self.client.clone(), &key.namespace);
        let known = self
            .counts
            .iter()
            .find(|(other, _)| other == key)
            .map(|(_, count)| *count);
        if let Some(count) = known
            && self.count_up(&api, key, said, count).await?
        {
            return Ok(());
        }
        // Never written, or forgotten by the server, which keeps Events for an hour.
        self.forget(key);
        let object = event::object(key, said, &self.node);
        let created = answered(api.create(&PostParams::default(), &object)).await;
        match created {
            Ok(_) => self.remember(key, event::count(said.times)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                // By an agent before this one.
                let there = patch(&api, &event::name(key), &serde_json::json!({})).await;
                let count = there.map_err(failure)?.count.unwrap_or(1);
                if !self.count_up(&api, key, said, count).await? {
                    return Err(Failure::Later("the Event was removed meanwhile".to_owned()));
                }
            }
            Err(error) => return Err(failure(error)),
        }
        Ok(())
    }

    /// False where it is no longer there.
    async fn count_up(&mut self, api: &Api<PodEvent>, key: &Key, said: &Said, count: i32) -> Result<bool, Failure> {
        let count = count.saturating_add(event::count(said.times));
        match patch(api, &event::name(key), &event::change(said, count)).await {
            Ok(_) => {
                self.remember(key, count);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    fn remember(&mut self, key: &Key, count: i32) {
        self.forget(key);
        if self.counts.len() >= REMEMBERED {
            self.counts.pop_front();
        }
        self.counts.push_back((key.clone(), count));
    }

    fn forget(&mut self, key: &Key) {
        self.counts.retain(|(other, _)| other != key);
    }
}

async fn patch(api: &Api<PodEvent>, name: &str, change: &serde_json::Value) -> kube::Result<PodEvent> {
    answered(api.patch(name, &PatchParams::default(), &Patch::Merge(change))).await
}

pub(super) async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    timeout(PATIENCE, request).await.unwrap_or_else(|_| {
        let said = format!("no answer within {} s", PATIENCE.as_secs());
        Err(kube::Error::Api(
            Status::failure(&said, "Timeout").with_code(504).boxed(),
        ))
    })
}

fn failure(error: kube::Error) -> Failure {
    let kube::Error::Api(status) = &error else {
        return Failure::Later(chain(&error));
    };
    let ends = status.details.as_ref().is_some_and(|details| {
        let mut causes = details.causes.iter();
        causes.any(|cause| cause.reason == "NamespaceTerminating")
    });
    let said = status.message.clone();
    match status.code {
        // A namespace that ends takes nothing new; one that is gone neither.
        _ if ends => Failure::Refused(said),
        // One sentence for all namespaces: it is told once.
        403 if said.contains("resource \"events\"") => Failure::Later(NOT_ALLOWED.to_owned()),
        400 | 403 | 404 | 405 | 413 | 422 => Failure::Refused(said),
        _ => Failure::Later(said),
    }
}
