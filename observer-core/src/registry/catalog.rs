//! The catalogue: reads what Kubernetes or a container engine says of containers, produces it by container id.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::container_facts::{ContainerFacts, Origin};

/// Most containers kept that no watched process is known of. A node runs some hundred pods.
const MAX_NAMED: usize = 4_096;

/// Facts by container id, which is never used again: names of a deleted pod cannot be given to its successor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    by_id: BTreeMap<String, Arc<ContainerFacts>>,
    order: VecDeque<String>,
}

impl Catalogue {
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<ContainerFacts>> {
        self.by_id.get(id)
    }

    /// Takes what is said; returns it to be given to the container's run.
    pub(crate) fn learn(&mut self, facts: &ContainerFacts, evicted: &mut u64) -> Arc<ContainerFacts> {
        let known = self.by_id.get(&facts.id);
        let facts = Arc::new(known.map_or_else(|| self.with_its_pod(facts), |known| known.with(facts)));
        if facts.deleted {
            // The run keeps its own; nobody else will ask.
            self.by_id.remove(&facts.id);
            self.order.retain(|id| *id != facts.id);
            return facts;
        }
        if self.by_id.insert(facts.id.clone(), Arc::clone(&facts)).is_none() {
            self.order.push_back(facts.id.clone());
        }
        while self.order.len() > MAX_NAMED {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
                *evicted += 1;
            }
        }
        facts
    }

    /// A restarted container is told by its engine's files at once, and by Kubernetes a second later. Its pod is the one
    /// it was, by a uid that is never used again: what Kubernetes said of the pod holds for it, and so does the image's
    /// digest where the engine names the same image.
    fn with_its_pod(&self, facts: &ContainerFacts) -> ContainerFacts {
        let mut facts = facts.clone();
        let Some(pod) = facts.pod.as_ref().filter(|_| facts.origin == Origin::Engine) else {
            return facts;
        };
        let told = self.by_id.values().filter(|known| known.origin == Origin::Kubernetes);
        let of_pod = told.filter(|known| known.pod.as_ref().is_some_and(|known| known.uid == pod.uid));
        // The container of the same name where there is one, else any of the pod.
        let Some(known) = of_pod.max_by_key(|known| known.name == facts.name) else {
            return facts;
        };
        if known.name == facts.name && (facts.image.is_none() || known.image == facts.image) {
            facts.image_digest = facts.image_digest.or_else(|| known.image_digest.clone());
            facts.image = facts.image.or_else(|| known.image.clone());
        }
        facts.pod.clone_from(&known.pod);
        facts
    }
}
