//! Pods: watches this node's pods as long as the agent runs, tells their containers to the engine and its troubles to
//! people. Without Kubernetes, or while its API is away, everything else goes on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use observer_core::{Input, What, container_facts::ContainerFacts};

use super::input_channel::InputSender;
use crate::{
    clock,
    config::Config,
    host,
    source::kubernetes::{self, Health, Receiver},
    terminal::say,
};

/// Between two looks for a way to the API server: a service account's files or a kubeconfig may come after the agent.
const AGAIN: Duration = Duration::from_secs(5);

/// Why pods are not watched at the moment, where they should be; for whoever asks how the agent is.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

/// Starts the watch on the current runtime, where it is wanted.
pub(super) fn start(config: &Config, sender: InputSender) -> Trouble {
    let trouble = Trouble::default();
    let Some(node) = host::node(config) else { return trouble };
    tell(&trouble, Some("the Kubernetes API has not answered yet"));
    let mut pods = Pods {
        sender,
        node,
        trouble: Arc::clone(&trouble),
    };
    tokio::spawn(async move {
        let client = client(&pods.trouble).await;
        let node = pods.node.clone();
        kubernetes::watch(client, &node, &mut pods).await;
    });
    trouble
}

fn tell(trouble: &Trouble, why: Option<&str>) {
    let why = why.map(|why| format!("pods are not watched at the moment: {why}"));
    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
}

/// Says once that there is none, and looks until there is.
async fn client(trouble: &Trouble) -> kube::Client {
    let mut said = false;
    loop {
        match kubernetes::client().await {
            Ok(client) => return client,
            Err(error) if !said => {
                tell(trouble, Some(&error.to_string()));
                say(format!(
                    "{error}; until then the agent names pods from their containers' files"
                ));
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

struct Pods {
    sender: InputSender,
    node: String,
    trouble: Trouble,
}

impl Receiver for Pods {
    async fn container(&mut self, facts: ContainerFacts) -> bool {
        self.sender
            .answer_soon(Input {
                at: clock::boot(),
                what: What::Container(Box::new(facts)),
            })
            .await
    }

    fn health(&mut self, health: Health) {
        let failing = match &health {
            Health::Failing(why) => Some(why.as_str()),
            Health::Current { .. } => None,
        };
        tell(&self.trouble, failing);
        match health {
            Health::Current { pods: 0, .. } => say(format!(
                "the Kubernetes API knows no pod on node {}; set --node-name (OBSERVER_NODE_NAME) to spec.nodeName",
                self.node
            )),
            Health::Current { pods, refused: 0 } => say(format!("watching {pods} pods of node {}", self.node)),
            Health::Current { pods, refused } => {
                say(format!(
                    "watching {pods} pods of node {}; there is no room for {refused} more",
                    self.node
                ));
            }
            Health::Failing(why) => say(format!("pods are not watched at the moment: {why}")),
        }
    }
}
