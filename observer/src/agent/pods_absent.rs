//! Pods in an agent built without Kubernetes: reads the configuration, says where a watch was wanted.

use std::sync::{Arc, Mutex};

use super::input_channel::InputSender;
use crate::{config::Config, host, terminal::say};

/// Why pods are not watched, where they should be.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

/// Watches nothing.
pub(super) fn start(config: &Config, _sender: InputSender) -> Trouble {
    if host::node(config).is_some() {
        let why = "this agent was built without Kubernetes: it names pods from their containers' files";
        say(why);
        return Arc::new(Mutex::new(Some(why.to_owned())));
    }
    Trouble::default()
}
