//! The catalogue: reads what Kubernetes or a container engine says of containers, produces it by container id.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::container_facts::ContainerFacts;

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
        let facts = Arc::new(known.map_or_else(|| facts.clone(), |known| known.with(facts)));
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
}
