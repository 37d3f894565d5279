//! What was told of this node's pods: reads the watch's events, produces facts that changed and containers that went.
//!
//! Bounded by the pods of a node; a list after a lost watch replaces what was known, so a pod deleted meanwhile is told
//! as deleted, and its names end with it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use observer_core::container_facts::ContainerFacts;

use super::pod;

/// Pods known at most. The kubelet's default is 110, the largest in use some 500.
const MOST_PODS: usize = 4096;

/// Facts told so far, by the pod's own uid in the API.
#[derive(Debug, Default)]
pub(super) struct Known {
    pods: BTreeMap<String, Vec<ContainerFacts>>,
    /// While a list arrives: the pods it has named so far.
    listed: Option<BTreeSet<String>>,
    /// Pods ignored because the table was full.
    pub(super) refused: u64,
}

impl Known {
    /// Takes an event; what is to be told because of it.
    pub(super) fn take(&mut self, event: Event<Pod>) -> Vec<ContainerFacts> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(pod) | Event::Apply(pod) => self.apply(&pod),
            Event::Delete(pod) => pod
                .metadata
                .uid
                .as_deref()
                .map_or_else(Vec::new, |uid| self.forget(uid)),
            Event::InitDone => {
                let Some(listed) = self.listed.take() else {
                    return Vec::new();
                };
                let gone: Vec<String> = self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                gone.iter().flat_map(|uid| self.forget(uid)).collect()
            }
        }
    }

    /// Pods known.
    pub(super) fn pods(&self) -> usize {
        self.pods.len()
    }

    fn apply(&mut self, pod: &Pod) -> Vec<ContainerFacts> {
        let Some(uid) = pod.metadata.uid.clone() else {
            return Vec::new();
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(uid.clone());
        }
        if !self.pods.contains_key(&uid) && self.pods.len() >= MOST_PODS {
            self.refused += 1;
            return Vec::new();
        }
        let before = self.pods.remove(&uid).unwrap_or_default();
        let mut now = pod::containers(pod);
        now.extend(without_ids(pod, &now, &before));
        self.pods.insert(uid, now.clone());
        let replaced = before
            .iter()
            .filter(|old| now.iter().all(|new| new.id != old.id))
            .cloned()
            .map(deleted);
        // The new ones first: they carry how the old ones ended.
        now.iter()
            .filter(|new| !before.contains(new))
            .cloned()
            .chain(replaced)
            .collect()
    }

    fn forget(&mut self, uid: &str) -> Vec<ContainerFacts> {
        self.pods
            .remove(uid)
            .unwrap_or_default()
            .into_iter()
            .map(deleted)
            .collect()
    }
}

/// Containers that are in the pod's status still, but no longer by their ids: the kubelet's last word of an evicted pod is so. They
/// are those that were known, and what is told of the pod now is told of them.
fn without_ids(pod: &Pod, now: &[ContainerFacts], before: &[ContainerFacts]) -> Vec<ContainerFacts> {
    let unnamed = pod::without_ids(pod);
    if unnamed.is_empty() {
        return Vec::new();
    }
    let of_pod = pod::pod_facts(pod);
    let lost = before.iter().filter(|old| {
        unnamed.contains(&old.name.as_str()) && now.iter().all(|new| new.id != old.id && new.name != old.name)
    });
    lost.map(|old| ContainerFacts {
        pod: of_pod.clone().or_else(|| old.pod.clone()),
        ..old.clone()
    })
    .collect()
}

fn deleted(facts: ContainerFacts) -> ContainerFacts {
    ContainerFacts { deleted: true, ..facts }
}
