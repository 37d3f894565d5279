//! Names: reads what a container engine's files say of a watched process's container, tells it before the process itself,
//! so that no finding goes out under an id while a name is to be had.

use std::path::PathBuf;

use observer_core::{Input, What, container, process::ProcessFacts};

use super::input_channel::InputSender;
use crate::{
    clock,
    source::{Engines, Procfs},
};

/// The container engines of this host.
#[derive(Clone, Debug)]
pub(super) struct Names(Engines);

impl Names {
    /// Those of the host whose procfs this is, and the one whose socket the operator names.
    pub(super) fn of_host(procfs: &Procfs, socket: Option<PathBuf>) -> Self {
        Self(Engines::of_host(procfs.root()).with_socket(socket))
    }

    /// Passes on what is known of its container. What cannot be read is counted, and the process keeps its id as a name.
    pub(super) fn tell(&self, facts: &ProcessFacts, sender: &InputSender) {
        let Some(owner) = container::owner(&facts.cgroup).filter(|_| facts.is_watched()) else {
            return;
        };
        match self.0.describe(&owner, facts.parent.pid) {
            Ok(Some(named)) => {
                // Where the agent has stopped, passing the process on fails as well.
                sender.answer(Input {
                    at: clock::boot(),
                    what: What::Container(Box::new(named)),
                });
            }
            Ok(None) => {}
            Err(_) => sender.losses().add("inspect", "container", 1),
        }
    }
}
