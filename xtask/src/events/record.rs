//! Records of events: reads the findings that agents under test printed, produces for each event the one that tells most,
//! with what identifies the machine replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Names that tests number, so that they are their own: of cgroups, and of units. What they stand for in the documentation.
const NUMBERED: [(&str, &str); 2] = [("/observer-stage-", "/services"), ("checkout-", "checkout")];
/// What a host is called in the documentation.
const HOST: &str = "node-7";

/// By the event's name.
pub(super) type Records = BTreeMap<String, Kept>;

/// A record, and the attributes that any record of its event had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    record: Map<String, Value>,
    attributes: BTreeSet<String>,
}

impl Kept {
    /// The record as it is printed, indented.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(&self.record).unwrap_or_default()
    }

    pub(super) fn severity(&self) -> &str {
        self.record["severity"].as_str().unwrap_or_default()
    }

    /// Names of attributes that records of this event had.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(String::as_str)
    }

    /// Whether this record has an attribute.
    pub(super) fn has(&self, name: &str) -> bool {
        self.record["attributes"].get(name).is_some()
    }
}

/// The record that tells most of each event, from the JSON lines of a directory's files.
pub(super) fn pick(directory: &Path) -> Result<Records> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let mut kept = Records::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let records = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
        for record in records {
            let Some(event) = record.get("event").and_then(Value::as_str).map(str::to_owned) else {
                continue;
            };
            let attributes: BTreeSet<String> = entries(&record, "attributes").map(str::to_owned).collect();
            match kept.get_mut(&event) {
                Some(best) => {
                    best.attributes.extend(attributes);
                    if tells(&record) > tells(&best.record) {
                        best.record = record;
                    }
                }
                None => drop(kept.insert(event, Kept { record, attributes })),
            }
        }
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for (event, kept) in &mut kept {
        for value in kept.record.values_mut() {
            replace(value, &host)?;
        }
        let resource = kept
            .record
            .get_mut("resource")
            .and_then(|resource| resource.get_mut("host.name"));
        if let Some(name) = resource {
            *name = HOST.into();
        }
        println!(
            "events: {event}: {} attributes",
            entries(&kept.record, "attributes").count()
        );
    }
    Ok(kept)
}

/// How much a record tells: something that was not refused more than what was; then by the number of its attributes and its
/// Resource's.
fn tells(record: &Map<String, Value>) -> (bool, usize) {
    let refused = entries(record, "attributes").any(|name| name.ends_with(".refused"));
    let all = entries(record, "attributes").count() + entries(record, "resource").count();
    (!refused, all)
}

fn entries<'a>(record: &'a Map<String, Value>, of: &str) -> impl Iterator<Item = &'a str> {
    record
        .get(of)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
}

/// Puts plausible values in the place of what identifies this machine.
fn replace(value: &mut Value, host: &str) -> Result<()> {
    match value {
        Value::String(text) if text == host => HOST.clone_into(text),
        Value::String(text) => {
            *text = clean(text);
            let own = [places::workspace(), places::cache(), env::temp_dir()].map(|path| path.display().to_string());
            if own.iter().any(|place| text.contains(place.as_str())) {
                bail!("{text} names a place of this machine; have xtask/src/events/record.rs replace it");
            }
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| replace(value, host))?,
        Value::Object(map) => map.values_mut().try_for_each(|value| replace(value, host))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Paths of the tests' programs and cgroups, as a service would have them.
fn clean(text: &str) -> String {
    let fixtures = format!("{}/tests/fixtures", places::workspace().display());
    let mut text = text.replace(&fixtures, "/srv");
    let is_number = |c: char| c.is_ascii_digit() || c == '-';
    for (numbered, plain) in NUMBERED {
        let mut parts = text.split(numbered);
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                replaced = replaced + plain + part.trim_start_matches(is_number);
            } else {
                replaced = replaced + numbered + part;
            }
        }
        text = replaced;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_identifies_the_machine_is_replaced_or_refused() {
        let script = format!("bare {}/tests/fixtures/checkout-api.js", places::workspace().display());
        let mut value = serde_json::json!([
            "unit checkout-7432.service in /observer-stage-7432-1453471/api",
            script,
            "builder",
            7
        ]);
        replace(&mut value, "builder").unwrap();
        assert_eq!(
            value,
            serde_json::json!([
                "unit checkout.service in /services/api",
                "bare /srv/checkout-api.js",
                HOST,
                7
            ])
        );
        let mut hidden = format!("{}/node", places::cache().display()).into();
        assert!(replace(&mut hidden, "builder").is_err());
    }
}
