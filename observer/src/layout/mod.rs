//! Layouts of recordings and of stored state: reads JSON that an older observer wrote, produces JSON as this one writes
//! it.
//!
//! Recordings, the engine's stored state and the history's records share one layout number, [`LAYOUT`]. [`STEPS`] says
//! what changed from each layout to the next. To move or rename a field of a serialised type of `observer-core`, add a step,
//! raise [`LAYOUT`], and run `UPDATE_EXPECT=1 cargo test -p observer-tests --test recordings`, which keeps a recording of the
//! new layout beside those of all earlier ones and reads them forward.
//!
//! A field that is new and marked `#[serde(default)]`, and a new variant, need no step: older text reads as it is.

mod change;

use observer_core::recording::LAYOUT;
use serde_json::Value;

pub use self::change::Change;

/// What changed from one layout to the next.
#[derive(Debug)]
pub struct Step {
    /// The layout that ended.
    pub from: u32,
    /// What moved, in order, each within a kind of Input (`sample`, `restore`) or of the history's records (`finding`,
    /// `run`). The engine's stored state is what `restore` holds.
    pub changes: &'static [(&'static str, Change)],
}

/// Every step there has been, oldest first.
pub const STEPS: &[Step] = &[
    // The engine's state became parts: the clock, the host, deaths that wait, cgroups, losses.
    Step {
        from: 1,
        changes: &[
            ("restore", moved("now", "time.now")),
            ("restore", moved("last", "time.last")),
            ("restore", moved("begun", "time.begun")),
            ("restore", moved("counting_since", "time.counting_since")),
            ("restore", moved("clock", "time.anchor")),
            ("restore", moved("host", "host.name")),
            ("restore", moved("boot_id", "host.boot_id")),
            ("restore", moved("host_memory", "host.memory")),
            ("restore", moved("cgroup_version", "host.cgroup_version")),
            ("restore", moved("due", "deaths.due")),
            ("restore", moved("cgroups", "cgroups.ids")),
            ("restore", moved("lossy_until", "losses.until")),
            ("restore", moved("lost", "losses.by_stage")),
            // Marks without a process, kept for some seconds.
            ("restore", Change::Removed { path: "marks" }),
        ],
    },
];

const fn moved(from: &'static str, to: &'static str) -> Change {
    Change::Moved { from, to }
}

/// Why something written by another observer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A newer observer wrote it.
    #[error("it has layout {found}, this observer reads layouts up to {LAYOUT}; use the observer that wrote it{}", named(.writer))]
    Newer {
        /// Its layout.
        found: u32,
        /// Version of the observer that wrote it; empty where it does not say.
        writer: String,
    },
    /// No observer wrote such a layout.
    #[error("it has layout {0}, which no observer ever wrote")]
    Unknown(u32),
}

fn named(version: &str) -> String {
    if version.is_empty() {
        String::new()
    } else {
        format!(" ({version}) or a later one")
    }
}

/// Whether JSON of this layout can be read. `writer` is the version of the observer that wrote it, where known.
pub fn check(found: u32, writer: &str) -> Result<(), LayoutError> {
    match found {
        0 => Err(LayoutError::Unknown(found)),
        1..=LAYOUT => Ok(()),
        _ => Err(LayoutError::Newer {
            found,
            writer: writer.to_owned(),
        }),
    }
}

/// Brings a kind of Input or record, as the object `{kind: content}`, from layout `found` to this one.
pub fn upgrade(value: &mut Value, found: u32) {
    apply(STEPS, value, found);
}

/// The same for an Input, whose kind stands under `what`.
pub fn upgrade_input(input: &mut Value, found: u32) {
    if let Some(what) = input.get_mut("what") {
        upgrade(what, found);
    }
}

fn apply(steps: &[Step], value: &mut Value, found: u32) {
    for step in steps.iter().filter(|step| step.from >= found) {
        for (kind, change) in step.changes {
            if let Some(content) = value.get_mut(kind) {
                change.apply(content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_layout_but_the_last_has_its_step() {
        let from: Vec<u32> = STEPS.iter().map(|step| step.from).collect();
        assert_eq!(from, (1..LAYOUT).collect::<Vec<_>>());
    }

    #[test]
    fn steps_are_taken_from_the_layout_found_on() {
        const TABLE: &[Step] = &[
            Step {
                from: 1,
                changes: &[(
                    "sample",
                    Change::Moved {
                        from: "rss",
                        to: "memory.rss",
                    },
                )],
            },
            Step {
                from: 2,
                changes: &[(
                    "sample",
                    Change::Moved {
                        from: "memory.rss",
                        to: "memory.resident",
                    },
                )],
            },
        ];
        let read = |mut value: Value, found| {
            apply(TABLE, &mut value, found);
            value
        };
        let now = json!({"sample": {"memory": {"resident": 7}}});
        assert_eq!(read(json!({"sample": {"rss": 7}}), 1), now);
        assert_eq!(read(json!({"sample": {"memory": {"rss": 7}}}), 2), now);
        assert_eq!(read(now.clone(), 3), now);
        assert_eq!(read(json!("tick"), 1), json!("tick"));
    }

    #[test]
    fn newer_and_impossible_layouts_are_refused_with_what_to_do() {
        assert_eq!(check(LAYOUT, ""), Ok(()));
        assert_eq!(check(1, ""), Ok(()));
        assert_eq!(check(0, ""), Err(LayoutError::Unknown(0)));
        let newer = check(LAYOUT + 1, "7.8.9").unwrap_err().to_string();
        assert!(
            newer.contains("the observer that wrote it (7.8.9) or a later one"),
            "{newer}"
        );
    }
}
