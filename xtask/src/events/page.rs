//! Pages of events: read a record of each and the catalogue, produce Markdown.

use std::fmt::Write as _;

use observer_core::telemetry;

use super::record::{Kept, Records};

/// The comment at the top of each page.
const WRITTEN: &str =
    "<!-- Written by `cargo xtask events` from observer-core/src/semconv.rs and docs/events/records.json. -->";

/// Every page with its file's name, the index first.
pub(super) fn all(records: &Records) -> Vec<(String, String)> {
    let (events, _) = telemetry::reference();
    let pages = events
        .iter()
        .filter_map(|(name, meaning)| Some((file(name), one(name, meaning, records.get(*name)?))));
    [("README.md".to_owned(), index(records))]
        .into_iter()
        .chain(pages)
        .collect()
}

/// `memory.leak_likely.md`
fn file(event: &str) -> String {
    format!("{}.md", event.trim_start_matches("observer."))
}

fn index(records: &Records) -> String {
    let (events, _) = telemetry::reference();
    let mut page = format!(
        "# Events\n\n{WRITTEN}\n\nEach page begins with a record that a real agent sent. [telemetry.md](../telemetry.md) has what \
         is common to all of them.\n\n| event | severity | meaning |\n|---|---|---|\n"
    );
    for (name, meaning) in events {
        let severity = records.get(*name).map_or("", Kept::severity);
        let _ = writeln!(page, "| [`{name}`]({}) | {severity} | {} |", file(name), meaning.trim());
    }
    page.push_str("\nThe severity is that of the record on its page; telemetry.md says which events have several.\n");
    page
}

fn one(name: &str, meaning: &str, kept: &Kept) -> String {
    let mut page = format!(
        "# {name}\n\n{WRITTEN}\n\n```json\n{}\n```\n\n{}\n\n## Attributes\n\n| name | in this record | meaning |\n|---|---|---|\n",
        kept.json(),
        meaning.trim()
    );
    let (_, attributes) = telemetry::reference();
    let own = |(name, _): &&(&str, &str)| kept.attributes().any(|own| own == *name);
    for (name, meaning) in attributes.iter().filter(own) {
        let here = if kept.has(name) { "yes" } else { "" };
        let _ = writeln!(page, "| `{name}` | {here} | {} |", meaning.trim());
    }
    page.push_str(
        "\nThese are the attributes that records of this event had in the tests. What is not known is absent, never 0.\n\n\
         [All events](README.md)\n",
    );
    page
}
