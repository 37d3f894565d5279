//! What was asked of the API server: reads its audit log, produces the requests for pods, by whom and how answered.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A request that has been answered, or whose answer has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `list`, `watch`
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// Status of the answer.
    pub code: u64,
    /// `ResponseStarted` of a watch, `ResponseComplete`.
    pub stage: String,
}

impl Asked {
    /// A parameter of its query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.uri.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Requests of `agent` (part of its `User-Agent` or its whole user name), in the order they were answered.
pub(super) fn read(log: &Path, user: &str, about: &str) -> Result<Vec<Asked>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it = events.filter(|event| event["user"]["username"] == user);
    Ok(of_it
        .filter_map(|event| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            Some(Asked {
                verb: text(&event["verb"])?,
                uri: text(&event["requestURI"])?,
                code: event["responseStatus"]["code"].as_u64().unwrap_or(0),
                stage: text(&event["stage"])?,
            })
        })
        .filter(|asked| asked.uri.contains(about))
        .collect())
}
