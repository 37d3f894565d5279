//! Pods in an agent built without Kubernetes: reads the configuration, says where a watch was wanted.

use super::input_channel::InputSender;
use crate::{config::Config, host, terminal::say};

/// Watches nothing.
pub(super) fn start(config: &Config, _sender: InputSender) {
    if host::node(config).is_some() {
        say("this agent was built without Kubernetes: it names pods from their containers' files");
    }
}
