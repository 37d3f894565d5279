//! What the dashboards ask: reads the files of `deploy/grafana`, produces every panel's queries.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::places;

/// Files of dashboards.
pub const DASHBOARDS: [&str; 3] = ["fleet.json", "workload.json", "agent.json"];

/// Where they are.
pub fn directory() -> PathBuf {
    places::workspace().join("deploy/grafana")
}

/// Panel and expression of every query, with its variables filled in as a user who has chosen "All" has them.
pub fn expressions() -> Result<BTreeSet<(String, String)>> {
    let mut found = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard: Value = serde_json::from_slice(&fs::read(directory().join(name))?)?;
        for panel in dashboard["panels"].as_array().context("no panels")? {
            let targets = panel["targets"].as_array().context("no targets")?;
            ensure!(!targets.is_empty(), "{name}: {panel}");
            for target in targets {
                let expression = target["expr"].as_str().context("no expression")?;
                let expression = ["$job", "$workload", "$agent"]
                    .iter()
                    .fold(expression.to_owned(), |text, variable| text.replace(variable, ".*"));
                ensure!(!expression.contains('$'), "{name}: {expression}");
                let title = panel["title"].as_str().context("no title")?;
                found.insert((format!("{name}, {title}"), expression));
            }
        }
    }
    Ok(found)
}

/// An expression as a part of an address.
pub fn encoded(expression: &str) -> String {
    expression.bytes().fold(String::new(), |mut query, byte| {
        // Writing to a string cannot fail.
        let _ = write!(query, "%{byte:02X}");
        query
    })
}
