//! Pods in an agent built without Kubernetes: reads the configuration, says where a watch was wanted.

use super::intake::Intake;
use crate::{config::Config, host, terminal::say};

/// Watches nothing.
pub(super) fn start(config: &Config, _intake: Intake) {
    if host::node(config).is_some() {
        say("this agent was built without Kubernetes: pods are named by their containers' files");
    }
}
